"""Where a run happens: terminal, loggers, device."""
