"""Files: whole or not there, hashed beside the writing, mapped, and what lies below them."""
