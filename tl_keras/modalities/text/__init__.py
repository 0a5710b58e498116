"""The modality `text`: an example is a text, which the model takes as token ids."""
