"""The steps of the command parallel: a teacher labels, students train, students are merged."""
