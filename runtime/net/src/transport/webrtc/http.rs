//! The little of HTTP that signalling needs: one request on a connection, with limits before anything is read.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::offer::MAX_SDP;

/// Bytes that the head of a request or of an answer may have.
const MAX_HEAD: usize = 8 << 10;
/// Headers that it may have.
const MAX_HEADERS: usize = 64;
/// Bytes that are thrown away after a refusal.
const MAX_REST: u64 = 256 << 10;

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The head of a request, and what was read with it.
pub(in crate::transport) struct Head {
    bytes: Vec<u8>,
    /// Where the body begins.
    end: usize,
}

/// Reads the head of a request or of an answer.
pub(in crate::transport) async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Head> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        let before = bytes.len();
        if (&mut *stream).take(1024).read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // The end may have begun in what was there before.
        let from = before.saturating_sub(3);
        let end = bytes[from..]
            .windows(4)
            .position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let end = from + end + 4;
            return Ok(Head { bytes, end });
        }
        if bytes.len() > MAX_HEAD {
            return Err(wrong("the head of a request is longer than 8 KiB"));
        }
    }
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without what follows a question mark.
    pub(super) path: String,
    pub(super) is_sdp: bool,
    /// Of the body.
    pub(super) length: Option<usize>,
}

impl Head {
    /// Whether it may be the beginning of a WebSocket.
    pub(in crate::transport) fn is_get(&self) -> bool {
        self.bytes.starts_with(b"GET ")
    }

    pub(super) fn request(&self) -> io::Result<Request> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(&self.bytes[..self.end]);
        if !parsed.is_ok_and(|parsed| parsed.is_complete()) {
            return Err(wrong("that is no request of HTTP/1.1"));
        }
        let path = request.path.unwrap_or_default();
        let is_sdp = header(request.headers, "content-type").is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("application/sdp")
        });
        Ok(Request {
            method: request.method.unwrap_or_default().to_owned(),
            path: path.split('?').next().unwrap_or_default().to_owned(),
            is_sdp,
            length: length(request.headers),
        })
    }

    /// Reads the body, which has `length` bytes.
    pub(super) async fn body(
        mut self,
        stream: &mut (impl AsyncRead + Unpin),
        length: usize,
    ) -> io::Result<String> {
        self.bytes.drain(..self.end);
        if self.bytes.len() > length {
            return Err(wrong("more than the body follows a head"));
        }
        let before = self.bytes.len();
        self.bytes.resize(length, 0);
        stream.read_exact(&mut self.bytes[before..]).await?;
        String::from_utf8(self.bytes).map_err(|_| wrong("SDP is text in UTF-8"))
    }

    /// The stream as if nothing had been read.
    pub(in crate::transport) fn rewind<S>(self, stream: S) -> Rewound<S> {
        Rewound {
            head: self.bytes,
            at: 0,
            stream,
        }
    }
}

fn header<'a>(headers: &'a [httparse::Header<'_>], name: &str) -> Option<&'a str> {
    let mut found = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(name));
    let value = found.next().map(|header| header.value)?;
    // Two of them would be read differently by others.
    found.next().is_none().then_some(())?;
    std::str::from_utf8(value).ok()
}

fn length(headers: &[httparse::Header<'_>]) -> Option<usize> {
    let value = header(headers, "content-length")?.trim();
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| value.parse().ok()).flatten()
}

/// Writes an answer, which is the last on the connection.
pub(super) async fn respond(
    stream: &mut (impl AsyncWrite + Unpin),
    status: &str,
    headers: &str,
    body: &str,
) -> io::Result<()> {
    // Whoever may connect is decided by a token or the secret, which no browser sends by itself.
    let head = format!(
        "HTTP/1.1 {status}\r\nAccess-Control-Allow-Origin: *\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.flush().await?;
    stream.shutdown().await
}

/// Throws away what is left of a request, so that the answer to it is read before the connection is reset.
pub(super) async fn drain(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = (&mut *stream).take(MAX_REST);
    // How it ends does not matter.
    let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
}

/// Posts an offer, and returns the answer.
pub(super) async fn post(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
    offer: &str,
) -> io::Result<String> {
    let path = if path.is_empty() { "/" } else { path };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        offer.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(offer.as_bytes()).await?;
    stream.flush().await?;
    let head = read_head(&mut stream).await?;
    let (status, length) = {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&head.bytes[..head.end]);
        if !parsed.is_ok_and(|parsed| parsed.is_complete()) {
            return Err(wrong("the other end does not answer by HTTP/1.1"));
        }
        (response.code.unwrap_or_default(), length(response.headers))
    };
    let length = length.filter(|length| *length <= MAX_SDP);
    let length = length.ok_or_else(|| wrong("an answer has up to 32 KiB, and says how many"))?;
    let body = head.body(&mut stream, length).await?;
    if status != 201 {
        let text = format!(
            "the offer was refused with status {status}: {}",
            body.trim()
        );
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, text));
    }
    Ok(body)
}

/// A stream that gives back first what was already read from it.
pub(in crate::transport) struct Rewound<S> {
    head: Vec<u8>,
    at: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.at == this.head.len() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let count = buffer.remaining().min(this.head.len() - this.at);
        buffer.put_slice(&this.head[this.at..this.at + count]);
        this.at += count;
        if this.at == this.head.len() {
            (this.head, this.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn head(text: &str) -> io::Result<Head> {
        read_head(&mut text.as_bytes()).await
    }

    #[tokio::test]
    async fn requests_are_read() {
        let text = "POST /lanes?x=1 HTTP/1.1\r\nHost: a\r\ncontent-type: Application/SDP; x\r\nContent-Length: 3\r\n\r\nabc";
        let read = head(text).await.unwrap();
        let request = read.request().unwrap();
        let expected = Request {
            method: "POST".into(),
            path: "/lanes".into(),
            is_sdp: true,
            length: Some(3),
        };
        assert_eq!((request, read.is_get()), (expected, false));
        assert_eq!(read.body(&mut &b""[..], 3).await.unwrap(), "abc");
        let again = head(text).await.unwrap().rewind(&b" and more"[..]);
        let mut whole = String::new();
        { again }.read_to_string(&mut whole).await.unwrap();
        assert_eq!(whole, format!("{text} and more"));
    }

    #[tokio::test]
    async fn what_is_no_request_is_an_error() {
        for text in ["", "GET / HTTP/1.1\r\n", &"x".repeat(3 * MAX_HEAD)] {
            assert!(head(text).await.is_err(), "{text}");
        }
        let many = "a: b\r\n".repeat(MAX_HEADERS + 1);
        for text in [
            "\r\n\r\n",
            "POST\r\n\r\n",
            "\0\r\n\r\n",
            &format!("GET / HTTP/1.1\r\n{many}\r\n"),
        ] {
            assert!(head(text).await.unwrap().request().is_err(), "{text}");
        }
        for length in [
            "-1",
            "",
            "1a",
            "+3",
            "99999999999999999999999",
            "3\r\nContent-Length: 4",
        ] {
            let text = format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
            let request = head(&text).await.unwrap().request().unwrap();
            assert_eq!(request.length, None, "{length}");
        }
        let text = "POST / HTTP/1.1\r\n\r\nabc";
        assert!(
            head(text)
                .await
                .unwrap()
                .body(&mut &b""[..], 2)
                .await
                .is_err()
        );
        assert!(
            head(text)
                .await
                .unwrap()
                .body(&mut &b""[..], 4)
                .await
                .is_err()
        );
        let text = [text.as_bytes(), &[0xff]].concat();
        let read = read_head(&mut &text[..]).await.unwrap();
        assert!(read.body(&mut &b""[..], 4).await.is_err());
    }
}
