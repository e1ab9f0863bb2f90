"""Helpers that unit, integration and lab tests share."""
