//! `recvmmsg`, `sendmmsg`, `UDP_SEGMENT`, and the choice among sockets that share a port.
//!
//! The only file with unsafe code: no crate wraps `sendmmsg` with a segment size for each message, which sends a
//! whole fan-out with its bursts in one call, nor the program by which the kernel chooses a socket.
#![allow(unsafe_code)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use super::batch::{RecvBatch, SLOT, SendBatch, run};
use super::steer::{Choice, Instruction};

/// A socket, watched by an executor or not.
pub(super) trait Handle: AsFd {}
impl<T: AsFd> Handle for T {}

/// Messages in one call.
const MESSAGES: usize = 64;
/// Buffers (`iovec`) in one call.
const PIECES: usize = 512;
/// Size of a control message with the segment size, in bytes.
const CONTROL: usize = 24;

/// An IPv4 or IPv6 address as the kernel reads and writes it.
#[repr(C)]
union Address {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Whether the kernel supports UDP segmentation.
pub(super) fn gso(socket: &UdpSocket) -> bool {
    let mut size: libc::c_int = 0;
    let mut len = mem::size_of_val(&size) as libc::socklen_t;
    // SAFETY: the descriptor is open for the borrow; `size` and `len` outlive the call and `len`
    // is the size of `size`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw mut size).cast(),
            &raw mut len,
        )
    };
    result == 0
}

/// Has the kernel choose among the sockets that share the port of this one.
pub(super) fn choose(socket: &UdpSocket, choice: &Choice) -> io::Result<()> {
    let program: Vec<_> = choice.program().iter().map(filter).collect();
    let descriptor = socket.as_raw_fd();
    let result = if program.is_empty() {
        let unused: libc::c_int = 0;
        // SAFETY: the descriptor is open for the borrow; `unused` outlives the call and its size is given.
        unsafe {
            libc::setsockopt(
                descriptor,
                libc::SOL_SOCKET,
                libc::SO_DETACH_REUSEPORT_BPF,
                (&raw const unused).cast(),
                mem::size_of_val(&unused) as libc::socklen_t,
            )
        }
    } else {
        let program = libc::sock_fprog {
            len: program.len() as libc::c_ushort,
            filter: program.as_ptr().cast_mut(),
        };
        // SAFETY: the descriptor is open for the borrow. The kernel copies the instructions, which outlive the call, and
        // only reads them; it verifies the program itself.
        unsafe {
            libc::setsockopt(
                descriptor,
                libc::SOL_SOCKET,
                libc::SO_ATTACH_REUSEPORT_CBPF,
                (&raw const program).cast(),
                mem::size_of_val(&program) as libc::socklen_t,
            )
        }
    };
    if result == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // There was no program.
        error if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        error => Err(error),
    }
}

fn filter(instruction: &Instruction) -> libc::sock_filter {
    libc::sock_filter {
        code: instruction.code,
        jt: instruction.yes,
        jf: instruction.no,
        k: instruction.value,
    }
}

/// Whether an error concerns a datagram rather than the socket.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    !matches!(
        error.raw_os_error(),
        Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT)
    )
}

/// Receives without waiting.
pub(super) fn recv(socket: &impl Handle, batch: &mut RecvBatch) -> io::Result<usize> {
    let wanted = batch.heads.len().min(MESSAGES);
    let mut addresses = [const { MaybeUninit::<Address>::uninit() }; MESSAGES];
    let mut pieces = [const { MaybeUninit::<libc::iovec>::uninit() }; MESSAGES];
    let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MESSAGES];
    for (index, slot) in batch.bytes.chunks_exact_mut(SLOT).take(wanted).enumerate() {
        let piece = pieces[index].write(libc::iovec {
            iov_base: slot.as_mut_ptr().cast(),
            iov_len: slot.len(),
        });
        messages[index].write(message(
            addresses[index].as_mut_ptr().cast(),
            mem::size_of::<Address>(),
            piece,
            1,
        ));
    }
    // SAFETY: the first `wanted` messages are initialised, and the addresses, pieces and slots that
    // they point to live on this stack and in `batch` until the call is over.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_fd().as_raw_fd(),
            messages.as_mut_ptr().cast(),
            wanted as libc::c_uint,
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for index in 0..received {
        // SAFETY: the kernel filled the first `received` of the messages initialised above.
        let message = unsafe { messages[index].assume_init_ref() };
        // SAFETY: the kernel wrote the address of a datagram on an IPv4 or IPv6 socket, and the
        // family says which; both members start with it.
        let source = unsafe { read_address(addresses[index].assume_init_ref()) };
        // A slot is one byte longer than the largest datagram that is received, so a longer one shows in its length.
        batch.heads[index] = (message.msg_len as usize, source);
    }
    batch.filled = received;
    Ok(received)
}

/// Sends from the front of the batch. Returns how many datagrams were sent.
pub(super) fn send(socket: &impl Handle, batch: &SendBatch, gso: bool) -> io::Result<usize> {
    let burst = if gso { batch.burst() } else { 1 };
    let mut addresses = [const { MaybeUninit::<Address>::uninit() }; MESSAGES];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; MESSAGES];
    let mut pieces = [const { MaybeUninit::<libc::iovec>::uninit() }; PIECES];
    let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MESSAGES];
    let mut datagrams = [0usize; MESSAGES];

    let mut pending = batch.pending();
    let (mut count, mut used) = (0, 0);
    while count < MESSAGES && !pending.is_empty() {
        let len = run(pending, burst);
        if used + len > PIECES {
            break;
        }
        let size = pending[0].bytes.len;
        for (piece, entry) in pieces[used..].iter_mut().zip(&pending[..len]) {
            let bytes = batch.bytes(entry.bytes);
            piece.write(libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            });
        }
        let (address, address_len) = write_address(pending[0].to);
        let address = addresses[count].write(address);
        let mut header = message(
            ptr::from_mut(address).cast(),
            address_len,
            pieces[used].as_mut_ptr(),
            len,
        );
        if len > 1 {
            let control = controls[count].write(Control([0; CONTROL]));
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
            // SAFETY: the buffer is aligned for a control header, long enough for one with a u16
            // (24 bytes), and outlives the call below.
            unsafe {
                let control = libc::CMSG_FIRSTHDR(&raw const header.msg_hdr);
                (*control).cmsg_level = libc::SOL_UDP;
                (*control).cmsg_type = libc::UDP_SEGMENT;
                (*control).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as u32) as _;
                ptr::write_unaligned(libc::CMSG_DATA(control).cast::<u16>(), size as u16);
            }
        }
        messages[count].write(header);
        datagrams[count] = len;
        used += len;
        count += 1;
        pending = &pending[len..];
    }
    // SAFETY: the first `count` messages are initialised; their addresses, pieces and controls live
    // on this stack, and the bytes in `batch`, until the call is over. The kernel only reads them.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_fd().as_raw_fd(),
            messages.as_mut_ptr().cast(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
        )
    };
    let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
    Ok(datagrams[..sent].iter().sum())
}

fn message(
    address: *mut libc::c_void,
    address_len: usize,
    pieces: *mut libc::iovec,
    count: usize,
) -> libc::mmsghdr {
    // SAFETY: all zero is a valid header: null pointers with lengths of 0. (Some targets have
    // private padding fields, so it cannot be written out.)
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = address;
    header.msg_namelen = address_len as libc::socklen_t;
    header.msg_iov = pieces;
    header.msg_iovlen = count as _;
    libc::mmsghdr {
        msg_hdr: header,
        msg_len: 0,
    }
}

fn write_address(to: SocketAddr) -> (Address, usize) {
    match to {
        SocketAddr::V4(to) => {
            let v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as _,
                sin_port: to.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(to.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            (Address { v4 }, mem::size_of::<libc::sockaddr_in>())
        }
        SocketAddr::V6(to) => {
            let v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as _,
                sin6_port: to.port().to_be(),
                sin6_flowinfo: to.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: to.ip().octets(),
                },
                sin6_scope_id: to.scope_id(),
            };
            (Address { v6 }, mem::size_of::<libc::sockaddr_in6>())
        }
    }
}

/// Reads an address that the kernel wrote.
///
/// # Safety
///
/// `address` must have been written by the kernel for a datagram of an IPv4 or IPv6 socket.
unsafe fn read_address(address: &Address) -> SocketAddr {
    // SAFETY: both members start with the family, and by the caller's promise it is written and
    // says which member is.
    unsafe {
        if i32::from(address.v4.sin_family) == libc::AF_INET {
            let v4 = address.v4;
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into()
        } else {
            let v6 = address.v6;
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into()
        }
    }
}
