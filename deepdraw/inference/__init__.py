"""A trained classifier put to use: rebuilt from its checkpoint alone, and asked about drawings of any form."""
