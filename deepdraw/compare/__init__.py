"""Many runs side by side: one table, its intervals, and the settings that differ."""
