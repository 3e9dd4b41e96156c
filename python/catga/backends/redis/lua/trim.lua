-- A: {channel, reader, keep, floors}; floors: {part, ordered, urgent, ...}. Entries go that every reader of the channel has passed;
-- one that was silent for `keep` microseconds no longer counts.
local channel, reader, keep, floors = unpack(A)
local readers = P .. 'readers:' .. channel
local us = now_us()
call('ZADD', readers, whole(us), reader)
for _, gone in ipairs(call('ZRANGEBYSCORE', readers, '-inf', whole(us - keep))) do
  call('ZREM', readers, gone)
  call('DEL', P .. 'floors:' .. channel .. ':' .. gone)
end
local names = call('ZRANGE', readers, 0, -1)
local mine = P .. 'floors:' .. channel .. ':' .. reader

local function trim(key, field)
  local least
  for _, name in ipairs(names) do
    local floor = tonumber(call('HGET', P .. 'floors:' .. channel .. ':' .. name, field) or 0)
    if not least or floor < least then
      least = floor
    end
  end
  if least > 0 then
    call('XTRIM', key, 'MINID', whole(least))
  end
end

for n = 1, #floors, 3 do
  local part = floors[n]
  call('HSET', mine, 'queue:' .. part, floors[n + 1], 'urgent:' .. part, floors[n + 2])
  trim(P .. 'queue:' .. part .. ':' .. channel, 'queue:' .. part)
  trim(P .. 'urgent:' .. part .. ':' .. channel, 'urgent:' .. part)
end
return 0
