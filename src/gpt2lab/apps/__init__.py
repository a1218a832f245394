"""What is built on the language model: articles, detection, translation and the like; they do not know each other."""
