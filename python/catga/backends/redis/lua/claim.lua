-- A: {scope, owner, parts, ttl, now, anew}, in ms; now is below 0 where the server's clock decides.
local scope, owner, parts, ttl, now, anew = unpack(A)
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
-- Ahead of the clock: one that was lost with the server is not given again.
local function next_epoch(part, epoch)
  epoch = math.max(epoch + 1, ms)
  call('HSET', epochs, part, whole(epoch))
  return epoch
end
local function hold(part, held, epoch, before)
  held[2] = now + ttl
  call('HSET', holders, part, cmsgpack.pack(held))
  found[#found + 1] = part
  found[#found + 1] = epoch
  found[#found + 1] = held[3]
  found[#found + 1] = before
end
for _, each in ipairs(mine) do
  local part, epoch = each[1], tonumber(call('HGET', epochs, each[1]))
  if anew == 1 then
    hold(part, each[2], next_epoch(part, epoch), epoch)
  else
    hold(part, each[2], epoch, 0)
  end
end
for n = 1, math.min(#free, share - #mine) do
  local part, held = free[n][1], free[n][2]
  if held[1] ~= '' then
    held[3] = held[3] + 1
  end
  held[1] = owner
  hold(part, held, next_epoch(part, tonumber(call('HGET', epochs, part) or 0)), 0)
end
return found
