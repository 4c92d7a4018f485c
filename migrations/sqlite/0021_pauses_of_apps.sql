-- Whether an app is paused is the last that was said of it, and is read every ten seconds.
CREATE INDEX audit_of_apps ON audit (detail, id) WHERE action IN ('pause_app', 'resume_app');
