//! The wire form of one message: a fixed header, then type, key, extension and payload. `docs/frames.md` is its page.
//!
//! Every length is checked against the limit before a byte is copied or kept, so that a hostile length costs nothing.

use std::fmt;

/// The first two bytes of every frame, little-endian.
pub const MAGIC: u16 = 0xC47A;
/// The one version this build reads and writes.
pub const VERSION: u8 = 1;
/// Bytes before the type.
pub const HEADER: usize = 68;
/// The limit where the caller names none: 16 MiB, header included.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

const CHECKSUM: usize = 64;
const NO_KEY: u16 = u16::MAX;
const NO_EXT: u32 = u32::MAX;
const HIGHEST_PRIORITY: u8 = 7;

/// Why bytes are no frame. The codes are stable: people search for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The frame goes on behind the end of the buffer.
    Truncated,
    /// It does not begin with the magic number.
    Magic,
    /// A version this build does not know.
    Version,
    /// Longer than the limit, or than a length field can say.
    TooLarge,
    /// The checksum differs.
    Checksum,
    /// Reserved bits set, an unknown compression, a priority above 7, a type that is no UTF-8, bytes left over.
    Malformed,
}

impl Fault {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Truncated => "CTG-3001",
            Self::Magic => "CTG-3002",
            Self::Version => "CTG-3003",
            Self::TooLarge => "CTG-3004",
            Self::Checksum => "CTG-3005",
            Self::Malformed => "CTG-3006",
        }
    }
}

/// A fault, where it is, and what is wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// The kind of fault.
    pub fault: Fault,
    /// Bytes from the start of what was read.
    pub offset: usize,
    /// The sentence for people.
    pub reason: &'static str,
}

impl fmt::Display for FrameError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at byte {}: {}", self.fault.code(), self.offset, self.reason)
    }
}

impl std::error::Error for FrameError {}

const fn fail<T>(fault: Fault, offset: usize, reason: &'static str) -> Result<T, FrameError> {
    Err(FrameError { fault, offset, reason })
}

/// One message, borrowed from wherever its parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What role the message plays; the meaning is the caller's.
    pub kind: u8,
    /// Eight bits carried as they are; the meaning is the caller's.
    pub flags: u8,
    /// How the payload is encoded; the meaning is the caller's.
    pub codec: u8,
    /// 0 is first, 7 last.
    pub priority: u8,
    /// The version of the message type's schema.
    pub schema_version: u16,
    /// The message's id.
    pub id: [u8; 16],
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// Not to be delivered before; 0 where there is no such time.
    pub due_ms: i64,
    /// Useless after; 0 where there is no such time.
    pub deadline_ms: i64,
    /// The message type's name.
    pub type_name: &'a str,
    /// The ordering key.
    pub key: Option<&'a [u8]>,
    /// Extension headers, opaque here.
    pub ext: Option<&'a [u8]>,
    /// The encoded message, opaque here.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// How long the frame will be, or why there can be no such frame.
    ///
    /// # Errors
    /// When a part is longer than its length field can say, the whole is above `max_bytes`, or the priority above 7.
    pub fn size(&self, max_bytes: usize) -> Result<usize, FrameError> {
        if self.priority > HIGHEST_PRIORITY {
            return fail(Fault::Malformed, 7, "the priority is above 7");
        }
        if self.type_name.len() > usize::from(u16::MAX) {
            return fail(Fault::TooLarge, 50, "the type's name is longer than 65,535 bytes");
        }
        // The highest value of both length fields says "none", so it cannot be a length.
        if self.key.is_some_and(|key| key.len() >= usize::from(NO_KEY)) {
            return fail(Fault::TooLarge, 52, "the key is longer than 65,534 bytes");
        }
        if self.ext.is_some_and(|ext| u32::try_from(ext.len()).map_or(true, |length| length == NO_EXT)) {
            return fail(Fault::TooLarge, 56, "the extension is longer than 4,294,967,294 bytes");
        }
        if u32::try_from(self.payload.len()).is_err() {
            return fail(Fault::TooLarge, 60, "the payload is longer than 4,294,967,295 bytes");
        }
        let parts = [
            self.type_name.len(),
            self.key.map_or(0, <[u8]>::len),
            self.ext.map_or(0, <[u8]>::len),
            self.payload.len(),
        ];
        match parts.iter().try_fold(HEADER, |sum, &part| sum.checked_add(part)) {
            Some(size) if size <= max_bytes => Ok(size),
            _ => fail(Fault::TooLarge, 60, "the frame is longer than the limit"),
        }
    }

    /// Writes the frame at the start of `out`, which must hold [`Frame::size`] bytes; says how many it wrote.
    ///
    /// # Errors
    /// As [`Frame::size`], and when `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, FrameError> {
        let size = self.size(usize::MAX)?;
        let (frame, _) = out.split_at_mut_checked(size).ok_or(FrameError { offset: size, ..FrameError::TRUNCATED })?;
        let length =
            |part: Option<&[u8]>, none: u32| part.map_or(none, |part| u32::try_from(part.len()).unwrap_or(none));
        let short = |part: Option<&[u8]>| u16::try_from(length(part, u32::from(NO_KEY))).unwrap_or(NO_KEY);
        let type_name = self.type_name.as_bytes();
        let parts: [&[u8]; 16] = [
            &MAGIC.to_le_bytes(),
            &[VERSION, self.kind, self.flags, self.codec, 0, self.priority],
            &self.id,
            &self.created_ms.to_le_bytes(),
            &self.due_ms.to_le_bytes(),
            &self.deadline_ms.to_le_bytes(),
            &self.schema_version.to_le_bytes(),
            &short(Some(type_name)).to_le_bytes(),
            &short(self.key).to_le_bytes(),
            &[0; 2],
            &length(self.ext, NO_EXT).to_le_bytes(),
            &length(Some(self.payload), 0).to_le_bytes(),
            &[0; HEADER - CHECKSUM],
            type_name,
            self.key.unwrap_or_default(),
            self.ext.unwrap_or_default(),
        ];
        let rest = parts.iter().fold(&mut *frame, |rest, part| put(rest, part));
        put(rest, self.payload);
        seal(frame);
        Ok(size)
    }

    /// The frame at the start of `buffer` and how many bytes it takes.
    ///
    /// The header is judged as soon as it is there, before the body is: garbage is not waited for.
    ///
    /// # Errors
    /// When there is no whole, sound frame of at most `max_bytes`; [`Fault::Truncated`] where more bytes may help.
    pub fn read(buffer: &'a [u8], max_bytes: usize) -> Result<(Self, usize), FrameError> {
        let truncated = FrameError { offset: buffer.len(), ..FrameError::TRUNCATED };
        let Some((head, body)) = buffer.split_first_chunk::<HEADER>() else {
            return begins_well(buffer).and(Err(truncated));
        };
        begins_well(head)?;
        let (before, after) = head.split_at(CHECKSUM);
        let mut fields = before;
        let [_, _, _, kind, flags, codec, compression, priority] = take(&mut fields);
        let id = take(&mut fields);
        let created_ms = i64::from_le_bytes(take(&mut fields));
        let due_ms = i64::from_le_bytes(take(&mut fields));
        let deadline_ms = i64::from_le_bytes(take(&mut fields));
        let schema_version = u16::from_le_bytes(take(&mut fields));
        let type_length = u16::from_le_bytes(take(&mut fields));
        let key_length = Some(u16::from_le_bytes(take(&mut fields))).filter(|&length| length != NO_KEY);
        let reserved = u16::from_le_bytes(take(&mut fields));
        let ext_length = Some(u32::from_le_bytes(take(&mut fields))).filter(|&length| length != NO_EXT);
        let payload_length = u32::from_le_bytes(take(&mut fields));
        if compression != 0 {
            return fail(Fault::Malformed, 6, "an unknown compression");
        }
        if priority > HIGHEST_PRIORITY {
            return fail(Fault::Malformed, 7, "the priority is above 7");
        }
        if reserved != 0 {
            return fail(Fault::Malformed, 54, "reserved bits are set");
        }
        let length = u64::from(type_length)
            + u64::from(key_length.unwrap_or(0))
            + u64::from(ext_length.unwrap_or(0))
            + u64::from(payload_length);
        let size = usize::try_from(length).ok().and_then(|length| length.checked_add(HEADER));
        let Some(size) = size.filter(|&size| size <= max_bytes) else {
            return fail(Fault::TooLarge, 60, "the frame is longer than the limit");
        };
        let Some(body) = body.get(..size - HEADER) else { return Err(truncated) };
        let checksum = u32::from_le_bytes(take(&mut &*after));
        if crc32c::crc32c_append(crc32c::crc32c(before), body) != checksum {
            return fail(Fault::Checksum, CHECKSUM, "the checksum differs");
        }
        let (type_name, body) = cut(body, usize::from(type_length));
        let (key, body) = cut(body, usize::from(key_length.unwrap_or(0)));
        let (ext, payload) = cut(body, ext_length.map_or(0, |length| length as usize));
        let type_name = match std::str::from_utf8(type_name) {
            Ok(name) => name,
            Err(error) => return fail(Fault::Malformed, HEADER + error.valid_up_to(), "the type's name is no UTF-8"),
        };
        let frame = Self {
            kind,
            flags,
            codec,
            priority,
            schema_version,
            id,
            created_ms,
            due_ms,
            deadline_ms,
            type_name,
            key: key_length.map(|_| key),
            ext: ext_length.map(|_| ext),
            payload,
        };
        Ok((frame, size))
    }

    /// The frame that `buffer` is, with nothing behind it.
    ///
    /// # Errors
    /// As [`Frame::read`], and when bytes are left over.
    pub fn read_whole(buffer: &'a [u8], max_bytes: usize) -> Result<Self, FrameError> {
        let (frame, size) = Self::read(buffer, max_bytes)?;
        if size < buffer.len() {
            return fail(Fault::Malformed, size, "bytes are left over behind the frame");
        }
        Ok(frame)
    }
}

impl FrameError {
    const TRUNCATED: Self = Self { fault: Fault::Truncated, offset: 0, reason: "the frame ends too early" };
}

/// Writes the checksum of a frame whose other bytes are in place; what is shorter than a header is left alone.
pub fn seal(frame: &mut [u8]) {
    if let Some((head, body)) = frame.split_first_chunk_mut::<HEADER>() {
        let (before, after) = head.split_at_mut(CHECKSUM);
        let checksum = crc32c::crc32c_append(crc32c::crc32c(before), body);
        after.copy_from_slice(&checksum.to_le_bytes());
    }
}

/// CRC-32C of `data`, going on from `value`.
pub fn checksum(data: &[u8], value: u32) -> u32 {
    crc32c::crc32c_append(value, data)
}

/// Judges as much of magic and version as is there, so that a reader of a stream learns of garbage at its first bytes.
fn begins_well(buffer: &[u8]) -> Result<(), FrameError> {
    if buffer.iter().zip(MAGIC.to_le_bytes()).any(|(&found, expected)| found != expected) {
        return fail(Fault::Magic, 0, "no frame begins here");
    }
    match buffer.get(2) {
        Some(&version) if version != VERSION => fail(Fault::Version, 2, "a version this build does not know"),
        _ => Ok(()),
    }
}

/// The next `N` bytes; zeros where there are none, which the header's fixed size rules out.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk::<N>() {
        Some((&taken, left)) => {
            *rest = left;
            taken
        }
        None => [0; N],
    }
}

/// Copies `part` to the start of `rest` and gives what follows; the caller has made room for all of them.
fn put<'r>(rest: &'r mut [u8], part: &[u8]) -> &'r mut [u8] {
    match rest.split_at_mut_checked(part.len()) {
        Some((room, left)) => {
            room.copy_from_slice(part);
            left
        }
        None => &mut [],
    }
}

/// `split_at` that cannot panic; the lengths were added up before, so the fallback is out of reach.
fn cut(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}
