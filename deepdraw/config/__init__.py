"""What a config may say: the classes it may name by role, the types of its values, and the objects made from it."""
