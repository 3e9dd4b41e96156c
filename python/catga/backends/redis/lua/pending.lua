-- A: {queue}; with `queue` what stands in its streams behind the positions counts as well: of each line so many entries.
local MOST = 16
local total = call('ZCARD', P .. 'timed:1')
local blocked = call('HGETALL', P .. 'blocked')
for n = 1, #blocked, 2 do
  -- Behind a dead letter that blocks they wait for somebody to look at it.
  if call('HEXISTS', P .. 'blocking', blocked[n]) == 0 then
    total = total + tonumber(blocked[n + 1])
  end
end
for part = 0, 15 do
  total = total + call('XLEN', P .. 'outbox:' .. part)
end
if not A[1] then
  return total
end

local function behind(key, entry, place)
  if call('EXISTS', key) == 0 then
    return 0
  end
  local count = 0
  for _, found in ipairs(call('XRANGE', key, entry, '+', 'COUNT', MOST)) do
    local size = tonumber(found[2][1]) or 1
    if found[1] == entry .. '-0' then
      size = math.max(0, size - place)
    end
    count = count + size
  end
  return count
end

for _, channel in ipairs(call('SMEMBERS', P .. 'channels')) do
  for part = 0, 15 do
    local position = call('HGET', P .. 'positions:' .. channel, part) or ''
    local first, place, urgent, second = string.match(position, '^entry (%d+)%.(%d+)/(%d+)%.(%d+)$')
    total = total + behind(P .. 'queue:' .. part .. ':' .. channel, first or '0', tonumber(place or 0))
    total = total + behind(P .. 'urgent:' .. part .. ':' .. channel, urgent or '0', tonumber(second or 0))
  end
end
return total
