"""What a search's report says, section by section, as plain JSON values; how it is drawn lies in templates/."""
