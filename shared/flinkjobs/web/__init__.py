"""HTTP: requests, responses, routes and errors of the functions."""
