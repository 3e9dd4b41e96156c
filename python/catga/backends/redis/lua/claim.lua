-- A: {scope, owner, parts, ttl, now}, in ms; now is below 0 where the server's clock decides.
local scope, owner, parts, ttl, now = unpack(A)
local ms = math.floor(now_us() / 1000)
if now < 0 then
  now = ms
end
local members = P .. 'members:' .. scope
call('ZREMRANGEBYSCORE', members, '-inf', whole(now))
call('ZADD', members, whole(now + ttl), owner)
local names = call('ZRANGE', members, 0, -1)
table.sort(names)
-- Shares differ by one at most: rounding up would leave the last of five with none of 16 parts.
local share = math.floor(parts / #names)
for place, name in ipairs(names) do
  if name == owner and place <= parts % #names then
    share = share + 1
  end
end

local holders = P .. 'holders:' .. scope
local epochs = P .. 'epochs:' .. scope
local mine, free = {}, {}
for part = 0, parts - 1 do
  local packed = call('HGET', holders, part)
  -- {owner, expires, crashes, alone, claims alone}
  local held = packed and cmsgpack.unpack(packed) or {'', 0, 0, '', 0}
  if held[1] == owner then
    mine[#mine + 1] = {part, held}
  elseif held[1] == '' or held[2] <= now then
    free[#free + 1] = {part, held}
  end
end
local found = {math.max(0, #mine - share)}
local function hold(part, held, epoch)
  held[2] = now + ttl
  call('HSET', holders, part, cmsgpack.pack(held))
  found[#found + 1] = part
  found[#found + 1] = epoch
  found[#found + 1] = held[3]
end
for _, each in ipairs(mine) do
  hold(each[1], each[2], tonumber(call('HGET', epochs, each[1])))
end
for n = 1, math.min(#free, share - #mine) do
  local part, held = free[n][1], free[n][2]
  if held[1] ~= '' then
    held[3] = held[3] + 1
  end
  held[1] = owner
  -- Ahead of the clock: one that was lost with the server is not given again.
  local epoch = math.max(tonumber(call('HGET', epochs, part) or 0) + 1, ms)
  call('HSET', epochs, part, whole(epoch))
  hold(part, held, epoch)
end
return found
