FROM as AS as
FROM from
FROM a:b@c AS z9
