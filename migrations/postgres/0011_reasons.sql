-- What tixing says about an outcome, as code and arguments; `text` is the platform's words, and in older rows the sentence.
ALTER TABLE outcome ADD COLUMN reason TEXT;
