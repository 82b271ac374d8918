"""The whole stack on one machine, for people and for tests. Nothing in here is ever deployed."""
