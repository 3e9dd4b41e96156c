-- A: {old, new, ...}: what handlers have under old names becomes that of the new ones; what those have already stays.
local function merge(old, new)
  if call('RENAMENX', old, new) == 1 then
    return
  end
  local found = call('HGETALL', old)
  for n = 1, #found, 2 do
    call('HSETNX', new, found[n], found[n + 1])
  end
  call('UNLINK', old)
end

for n = 1, #A, 2 do
  local old, new = A[n], A[n + 1]
  local days = call('ZRANGE', P .. 'days', 0, -1)
  for _, name in ipairs(days) do
    local day, handler = string.match(name, '^(%-?%d+):(.*)$')
    if handler == old then
      if call('EXISTS', P .. 'marks:' .. name) == 1 then
        merge(P .. 'marks:' .. name, P .. 'marks:' .. day .. ':' .. new)
        call('ZADD', P .. 'days', day, day .. ':' .. new)
      end
      call('ZREM', P .. 'days', name)
    end
  end
  for _, name in ipairs(call('HKEYS', P .. 'places')) do
    local id = string.sub(name, 1, #old + 1) == old .. '\0' and string.sub(name, #old + 2)
    if id then
      local place = cmsgpack.unpack(call('HGET', P .. 'places', name))
      local row = call('HGET', P .. 'rows', name)
      take(name)
      if call('HEXISTS', P .. 'places', name_of(new, id)) == 0 then
        put(name_of(new, id), place, row)
      end
    end
  end
end
return 0
