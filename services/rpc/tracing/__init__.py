"""Traces: spans of calls, sent by OTLP where a service's settings say so.

tracing    what every part sees of it; by itself it does nothing, and imports nothing
configured whether it can be had, from the settings and the standard OTEL_* variables
otel       the same with OpenTelemetry, which only this file knows
"""
