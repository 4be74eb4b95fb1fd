-- Who answers for what has more collected than before.
ALTER TABLE tracking ADD COLUMN responsible TEXT NOT NULL DEFAULT '';
ALTER TABLE setting ADD COLUMN responsible TEXT NOT NULL DEFAULT '';
ALTER TABLE policy_change ADD COLUMN responsible TEXT NOT NULL DEFAULT '';
