"""Specs, messages and enumerations that the processes of the platform exchange.

This package only contains pydantic models and pure functions, and does no I/O. All other packages
may import it, so a spec has the same type in the request body, in the JSONB column, in the
runtime's input and in the SDK's arguments.
"""
