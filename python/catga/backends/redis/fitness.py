"""Whether a server keeps what is promised: asked once, when the store is opened."""

import logging

from redis.exceptions import ResponseError

from catga.backends.fitness import refuse
from catga.backends.redis.link import Link
from catga.ports.server import Server

log: logging.Logger = logging.getLogger("catga.redis")

OLDEST = (7, 0)
"""Scripts say what they do in their first line since then."""


async def check_server(link: Link) -> None:
    """Raises for settings that would break promises; warns of those that weaken one."""
    options = link.options
    facts = _facts(await link.ask("INFO"))
    mistakes: list[tuple[str, str]] = []
    version = facts.get("redis_version", "0.0")
    if tuple(int(number) for number in version.split(".")[:2]) < OLDEST:
        mistakes.append((f"it is version {version}", "use Redis 7 or Valkey 7.2, or newer"))
    policy = facts.get("maxmemory_policy", "noeviction")
    if facts.get("maxmemory", "0") != "0" and policy != "noeviction":
        mistakes.append((f"it drops keys when memory is full ({policy})", "CONFIG SET maxmemory-policy noeviction"))
    if options.durability != "NONE" and facts.get("aof_enabled") != "1":
        mistakes.append(
            (
                "it keeps nothing but snapshots (appendonly no)",
                "CONFIG SET appendonly yes, or accept losses: ?durability=none",
            )
        )
    elif options.durability != "NONE":
        synced = await _setting(link, "appendfsync")
        if synced == "no" or (synced == "everysec" and options.durability == "ALWAYS"):
            mistakes.append((f"it syncs its file too seldom (appendfsync {synced})", _SYNC[options.durability]))
        elif synced == "everysec":
            log.warning(
                "%s: appendfsync is everysec: a power failure may lose the last second of what was acknowledged;"
                " CONFIG SET appendfsync always, and ask for it with ?durability=always",
                options.where,
            )
    refuse("Redis", options.where, "the server is set up for a cache", mistakes)


async def server(link: Link) -> Server:
    """What runs there, and its clock."""
    facts = _facts(await link.ask("INFO"))
    seconds, micros = await link.ask("TIME")
    name = "Valkey" if (version := facts.get("valkey_version")) else "Redis"
    return Server(f"{name} {version or facts.get('redis_version', '')}", int(seconds) * 1000 + int(micros) // 1000)


_SYNC = {
    "EVERYSEC": "CONFIG SET appendfsync everysec, or always",
    "ALWAYS": "CONFIG SET appendfsync always, or accept a lost second: ?durability=everysec",
}


def _facts(text: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


async def _setting(link: Link, name: str) -> str:
    """Empty where it may not be asked for, as with servers that others run."""
    try:
        found = await link.ask("CONFIG", "GET", name)
    except ResponseError:
        return ""
    return found[1].decode() if len(found) > 1 else ""
