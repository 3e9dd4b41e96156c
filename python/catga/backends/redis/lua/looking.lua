-- Questions about what is parked. A: {what, ...}
local what = A[1]
if what == 'due' then
  local _, channel, parts, now, most = unpack(A)
  local found = {}
  for _, part in ipairs(parts) do
    local members =
      call('ZRANGEBYSCORE', P .. 'due:' .. part .. ':' .. channel, '-inf', whole(now), 'WITHSCORES', 'LIMIT', 0, most)
    for n = 1, #members, 2 do
      found[#found + 1] = {tonumber(members[n + 1]), members[n]}
    end
  end
  table.sort(found, function(one, other)
    if one[1] ~= other[1] then
      return one[1] < other[1]
    end
    return one[2] < other[2]
  end)
  local names = {}
  for n = 1, math.min(most, #found) do
    names[n] = string.sub(found[n][2], 17)
  end
  return rows_of(names)
elseif what == 'followers' then
  local _, channel, part, handler, most = unpack(A)
  local chain = P .. 'chain:' .. cmsgpack.pack({channel, part, handler, ARGV[2]})
  local names = {}
  for _, name in ipairs(call('ZRANGE', chain, 0, most - 1)) do
    if cmsgpack.unpack(call('HGET', P .. 'places', name))[5] ~= BLOCKED then
      break
    end
    names[#names + 1] = name
  end
  return rows_of(names)
elseif what == 'waiting' then
  local _, channel, parts = unpack(A)
  local found = {}
  for _, part in ipairs(parts) do
    local members = call('ZRANGE', P .. 'waiting:' .. part .. ':' .. channel, 0, -1, 'WITHSCORES')
    for n = 1, #members, 2 do
      local place = cmsgpack.unpack(call('HGET', P .. 'places', members[n]))
      found[#found + 1] = {tonumber(members[n + 1]), part, members[n], place[4], place[5] == DEAD and 1 or 0}
    end
  end
  return found
elseif what == 'dead' then
  local _, handler, any, most = unpack(A)
  return rows_of(call('ZREVRANGE', P .. (any and 'dead' or 'dead:' .. handler), 0, most - 1))
end
local earliest = -1
for _, state in ipairs({RETRY, SCHEDULED}) do
  local first = call('ZRANGE', P .. 'timed:' .. state, 0, 0, 'WITHSCORES')
  if first[2] and (earliest < 0 or tonumber(first[2]) < earliest) then
    earliest = tonumber(first[2])
  end
end
return earliest
