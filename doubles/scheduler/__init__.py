"""A Cloud Scheduler double: one process that answers the REST API of Cloud Scheduler v1 and rings on time.

It serves the calls the official ``google-cloud-scheduler`` client makes with ``transport="rest"``, keeps cron
time in any time zone, delivers HTTP targets with the real headers, deadlines and retries, and on request
delivers them twice or runs faster than the wall clock. It keeps everything in memory and is never deployed.

Who does what:

- ``jobs``        a job's settings: reading, checking, changing and writing them as JSON      pure
- ``store``       all jobs with their state: the rules of create, patch, pause, resume        pure
- ``cron``        the next time of a cron expression in a time zone                           pure
- ``retries``     whether and when a failed attempt is repeated                               pure
- ``delivery``    the request a target receives, the meaning of its answer                    pure
- ``clock``       scheduler time: its speed, moving, waiting for a moment
- ``dispatcher``  starts executions when they are due, sends, repeats, duplicates
- ``attempts``    what was sent and what came back
- ``api``, ``control``, ``server``  HTTP; ``__main__``  the command
- ``process``, ``client``  start the double from Python and talk to its control endpoint

Source of the rules: the Cloud Scheduler v1 reference (the comments of its protocol buffers, also in the
docstrings of the official client) and its page on cron formats and time zones.
"""
