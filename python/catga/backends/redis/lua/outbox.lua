-- A: {parts, most}; for each part that has any: {part, entries}
local parts, left = A[1], A[2]
local found = {}
for _, part in ipairs(parts) do
  if left <= 0 then
    break
  end
  local entries = call('XRANGE', P .. 'outbox:' .. part, '-', '+', 'COUNT', left)
  left = left - #entries
  if #entries > 0 then
    found[#found + 1] = {part, entries}
  end
end
return found
