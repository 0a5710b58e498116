"""The steps of parallel: labels of the teacher, students, and the merge of the students."""
