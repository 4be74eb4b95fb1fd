-- How long the machine had slept by the last sleep that is recorded, in nanoseconds; null while that is not known.
ALTER TABLE boot ADD COLUMN asleep INTEGER;
