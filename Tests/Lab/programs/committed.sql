/* What must stay as it is once it is in the store. */
SELECT 'session', hex(uuid), number, start FROM session
UNION ALL SELECT 'focus', session, start, length || ' ' || coalesce(application, '-') FROM focus_interval
UNION ALL SELECT 'burst', session, start, length FROM input_burst
UNION ALL SELECT 'unknown', session, start, length || ' ' || reason FROM unknown_interval
UNION ALL SELECT 'event', session, at, kind FROM session_event
