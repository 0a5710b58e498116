"""Configs of earlier versions and of earlier runs, compared with the config of now."""
