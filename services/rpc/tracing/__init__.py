"""Traces: spans of calls, sent by OTLP if a service's settings say so.

tracing    the interface that every part uses; does nothing by default, and imports nothing
configured whether tracing is on, from the settings and the standard OTEL_* variables
otel       tracing with OpenTelemetry, which only this file imports
"""
