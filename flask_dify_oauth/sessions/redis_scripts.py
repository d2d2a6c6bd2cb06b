"""What the Redis store does in one step on the server, in Lua.

A session is three keys in one slot: the session itself (``s``: 13 digits with the epoch
milliseconds of its absolute end, 8 bytes that change with every change, the record), its vault
(``v``) and whose it is (``o``). All three live as long as the session may idle. An index is a
sorted set of session keys by their absolute end. A value that begins otherwise, as another
version may write it, has ended.
"""

from __future__ import annotations

from hashlib import sha1

__all__ = ["HEADER", "Script", "reading"]

#: bytes before the record: the end, then the stamp
HEADER = 21


class Script:
    """A script and the name that servers know it by."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


_LASTS = """
local function lasts(head, idle, now)
  return math.min(tonumber(idle), (tonumber(string.sub(head, 1, 13)) or 0) - tonumber(now))
end
"""
_NAMES = """
local function kind(session, letter)
  local name = string.gsub(session, 's(:{%x+})$', letter .. '%1')
  return name
end
local function of(session, member)
  local hex = string.gsub(member, '.', function(c) return string.format('%02x', string.byte(c)) end)
  local name = string.gsub(session, '{%x+}$', '{' .. hex .. '}')
  return name
end
"""
_LIST = """
local function list(index, member, ends, now)
  redis.call('ZADD', index, ends, member)
  if redis.call('PTTL', index) < ends - now then redis.call('PEXPIRE', index, ends - now) end
end
"""


def reading(idle: int, slide: int) -> Script:
    """s | now -> milliseconds to live in 13 digits, then the value.

    Prolongs all three keys when they have idled for ``slide`` of ``idle`` milliseconds, so that
    most reads write nothing and invalidate no cache. Every request without a near cache sends
    this and takes the answer apart, so both are short: what never changes stands in the script,
    the names of two keys follow from that of the third, and the answer is one string.
    """
    return Script(
        _LASTS
        + f"""
local value = redis.call('GET', KEYS[1])
if not value then return false end
local want, left = lasts(value, {idle}, ARGV[1]), redis.call('PTTL', KEYS[1])
if left < want - {slide} then
  {_NAMES}
  for _, letter in ipairs({{'s', 'v', 'o'}}) do
    redis.call('PEXPIRE', kind(KEYS[1], letter), want)
  end
  left = want
end
return string.format('%013d', left) .. value
"""
    )


#: s v o | idle, now. Prolongs.
TOUCH = Script(
    _LASTS
    + """
local head = redis.call('GETRANGE', KEYS[1], 0, 12)
if head ~= '' then
  local want = lasts(head, ARGV[1], ARGV[2])
  for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], want) end
end
"""
)
#: s v o, then n keys to delete, then indexes | value, milliseconds to live, vault, owner, member,
#: end, now, n, most, whether more are refused -> 1, or 0 where another session has the key, or 2
#: where it is refused; whose the deleted one was; which ended to make room, oldest first, and whose
CREATE = Script(
    _LIST
    + _NAMES
    + """
local function lives(member) return redis.call('PTTL', of(KEYS[1], member)) ~= -2 end
local there, n, gone = redis.call('GET', KEYS[1]), tonumber(ARGV[8]), false
if there then return {there == ARGV[1] and 1 or 0, false, {}} end
local most, over = tonumber(ARGV[9]), {}
if most > 0 then
  local index, living = KEYS[4 + n], {}
  for _, member in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    if (n == 0 or of(KEYS[1], member) ~= KEYS[4]) and lives(member) then
      living[#living + 1] = member
    end
  end
  local excess = #living + 1 - most
  if excess > 0 and ARGV[10] == '1' then return {2, false, {}} end
  for i = 1, excess do
    local name = of(KEYS[1], living[i])
    local whose = redis.call('GET', kind(name, 'o'))
    redis.call('DEL', name, kind(name, 'v'), kind(name, 'o'))
    redis.call('ZREM', index, living[i])
    over[#over + 1] = {living[i], whose}
  end
end
if n > 0 then
  gone = redis.call('GET', KEYS[6])
  redis.call('DEL', KEYS[4], KEYS[5], KEYS[6])
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2]) end
if ARGV[4] ~= '' then redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[2]) end
for i = 4 + n, #KEYS do
  for _, member in ipairs(redis.call('ZRANGE', KEYS[i], '-inf', ARGV[7], 'BYSCORE')) do
    if not lives(member) then redis.call('ZREM', KEYS[i], member) end
  end
  list(KEYS[i], ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]))
end
return {1, gone, over}
"""
)
#: index | member, end, now -> those in it whose end is past by that clock
LIST = Script(
    _LIST
    + """
list(KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
return redis.call('ZRANGE', KEYS[1], '-inf', ARGV[3], 'BYSCORE')
"""
)
#: s v o | stamp, new value, idle, now -> 1, 0 where the session has ended, or the value that is
#: there instead of the one with that stamp
UPDATE = Script(
    _LASTS
    + """
local head = redis.call('GETRANGE', KEYS[1], 0, 20)
if head == '' then return 0 end
if string.sub(head, 14) ~= ARGV[1] then
  local there = redis.call('GET', KEYS[1])
  return there == ARGV[2] and 1 or there
end
local want = lasts(head, ARGV[3], ARGV[4])
if want <= 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', want)
redis.call('PEXPIRE', KEYS[2], want)
redis.call('PEXPIRE', KEYS[3], want)
return 1
"""
)
#: s v o -> how many sessions ended, and whose it was
DELETE = Script(
    """
local owner, gone = redis.call('GET', KEYS[3]), redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2], KEYS[3])
return {gone, owner}
"""
)
#: s v o -> everything of a session
PEEK = Script(
    """
local value = redis.call('GET', KEYS[1])
if not value then return false end
return {value, redis.call('PTTL', KEYS[1]), redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3])}
"""
)
#: s v o | stamp, vault or nothing -> 1 when it was as said and is deleted, 0 when it has ended,
#: 2 when it has changed
DELETE_IF = Script(
    """
local head = redis.call('GETRANGE', KEYS[1], 0, 20)
if head == '' then return 0 end
local vault = redis.call('GET', KEYS[2]) or ''
if string.sub(head, 14) ~= ARGV[1] or vault ~= ARGV[2] then return 2 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
return 1
"""
)
#: s v | now -> vault
READ_VAULT = Script(
    """
local ends = redis.call('GETRANGE', KEYS[1], 0, 12)
if (tonumber(ends) or 0) <= tonumber(ARGV[1]) then return false end
return redis.call('GET', KEYS[2])
"""
)
#: s v | new vault, the one that is there or nothing, now -> 1 or 0
WRITE_VAULT = Script(
    """
local ends, left = redis.call('GETRANGE', KEYS[1], 0, 12), redis.call('PTTL', KEYS[1])
if left <= 0 or (tonumber(ends) or 0) <= tonumber(ARGV[3]) then return 0 end
local there = redis.call('GET', KEYS[2]) or ''
if there == ARGV[1] then return 1 end
if there ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', left)
return 1
"""
)
#: name | token of this call, milliseconds -> 1 when this call has the name, else 0. A call whose
#: answer was lost is sent again, and is still the same.
TAKE = Script(
    """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0
"""
)
#: lock | token
UNLOCK = Script(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"
)
