"""Keeps the record of every Flink Python job true."""
