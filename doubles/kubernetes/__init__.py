"""A Kubernetes API double: real HTTP semantics over memory, and pods that run as local processes.

`python -m doubles.kubernetes` starts it; `process.KubernetesDouble` does so from a program, and
`control.ControlClient` switches its faults.
"""
