"""Many jobs: submitted, watched, collected, resumed."""
