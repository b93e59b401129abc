//! What Linux gives to root, in safe words: namespaces of networks and mounts, a network device
//! whose other end is a program, signals.
//!
//! Nothing made here has a name, so nothing of it can be left behind: a namespace is gone with the
//! last process or file that holds it, a device with its file, a mount with its namespace.

// These are system calls that no safe interface in the tree has.
#![allow(unsafe_code)]

use std::{
    fs::{File, OpenOptions},
    io,
    net::{Ipv4Addr, UdpSocket},
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::OpenOptionsExt as _,
    },
    ptr, thread,
    time::Duration,
};

use tokio::process::Command;

/// The name of a network device, the same in every namespace.
const DEVICE: &str = "torture0";
/// Few system calls for much data.
const MTU: i32 = 60_000;

fn done(answer: libc::c_int) -> io::Result<()> {
    match answer {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Takes the calling thread out of the machine's network and mounts, into its own of both. Threads
/// and processes that it starts go with it; mounts made from now on are seen by nobody else.
pub(super) fn leave_the_machine() -> io::Result<()> {
    // SAFETY: plain numbers and texts that end in a zero, both valid for the call.
    unsafe {
        done(libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS))?;
        let (root, flags) = (c"/".as_ptr(), libc::MS_REC | libc::MS_PRIVATE);
        done(libc::mount(
            ptr::null(),
            root,
            ptr::null(),
            flags,
            ptr::null(),
        ))
    }
}

/// A network namespace and the device in it. Both are gone when this is.
#[derive(Debug)]
pub(super) struct Quarters {
    namespace: File,
    /// What is sent to the device is read here as packets, and the other way round.
    pub(super) device: File,
}

impl Quarters {
    /// A new network, with one host in it that has one address.
    pub(super) fn build(address: Ipv4Addr) -> io::Result<Self> {
        // A thread of its own: this one stays in the network where it is.
        let built = thread::spawn(move || {
            // SAFETY: plain numbers.
            done(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
            Self::furnish(&[address])
        });
        built.join().map_err(|_| io::ErrorKind::Other)?
    }

    /// The calling thread's network, with a host in it that has these addresses.
    pub(super) fn furnish(addresses: &[Ipv4Addr]) -> io::Result<Self> {
        let namespace = File::open("/proc/thread-self/ns/net")?;
        let device = device()?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let socket = socket.as_raw_fd();
        let mut up = request("lo");
        up.ifr_ifru.ifru_flags = flags(libc::IFF_UP)?;
        control(socket, libc::SIOCSIFFLAGS, &mut up)?;
        let mut large = request(DEVICE);
        large.ifr_ifru.ifru_mtu = MTU;
        control(socket, libc::SIOCSIFMTU, &mut large)?;
        for (number, address) in addresses.iter().enumerate() {
            let name = match number {
                0 => DEVICE.to_owned(),
                _ => format!("{DEVICE}:{number}"),
            };
            let mut named = request(&name);
            named.ifr_ifru.ifru_addr = socket_address(*address);
            control(socket, libc::SIOCSIFADDR, &mut named)?;
            let mut mask = request(&name);
            mask.ifr_ifru.ifru_netmask = socket_address(Ipv4Addr::new(255, 255, 0, 0));
            control(socket, libc::SIOCSIFNETMASK, &mut mask)?;
        }
        let mut up = request(DEVICE);
        up.ifr_ifru.ifru_flags = flags(libc::IFF_UP)?;
        control(socket, libc::SIOCSIFFLAGS, &mut up)?;
        Ok(Self { namespace, device })
    }
}

fn device() -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let device = options
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    let mut named = request(DEVICE);
    named.ifr_ifru.ifru_flags = flags(libc::IFF_TUN | libc::IFF_NO_PI)?;
    control(device.as_raw_fd(), libc::TUNSETIFF, &mut named)?;
    Ok(device)
}

fn flags(flags: libc::c_int) -> io::Result<libc::c_short> {
    libc::c_short::try_from(flags).map_err(io::Error::other)
}

fn request(device: &str) -> libc::ifreq {
    // SAFETY: zeros are a valid value of a structure of numbers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(device.bytes()) {
        *to = from.cast_signed();
    }
    request
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: zeros are a valid value of a structure of numbers.
    let mut written: libc::sockaddr = unsafe { std::mem::zeroed() };
    written.sa_family = libc::AF_INET as libc::sa_family_t;
    // As in `sockaddr_in`: the port, then the address.
    for (to, from) in written.sa_data[2..].iter_mut().zip(address.octets()) {
        *to = from.cast_signed();
    }
    written
}

fn control(file: RawFd, number: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: all requests that are made here take one `ifreq`, which outlives the call.
    done(unsafe { libc::ioctl(file, number, ptr::from_mut(request)) })
}

/// Waits until one of the files can be read, or for so long. Says which can.
pub(super) fn wait(files: &[&File], longest: Duration) -> io::Result<Vec<bool>> {
    let mut polled: Vec<libc::pollfd> = files
        .iter()
        .map(|file| libc::pollfd {
            fd: file.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let longest = libc::timespec {
        tv_sec: i64::try_from(longest.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: longest.subsec_nanos().into(),
    };
    let count = polled.len() as libc::nfds_t;
    // SAFETY: `count` structures are there, and both outlive the call.
    match done(unsafe { libc::ppoll(polled.as_mut_ptr(), count, &raw const longest, ptr::null()) })
    {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
        _ => {}
    }
    let can_be_read = |polled: &libc::pollfd| polled.revents & libc::POLLIN != 0;
    Ok(polled.iter().map(can_be_read).collect())
}

/// Has a process start in a network, and die with the thread that starts it, even while it is
/// stopped.
pub(super) fn settle(command: &mut Command, quarters: Option<&Quarters>) {
    let namespace = quarters.map(|quarters| quarters.namespace.as_raw_fd());
    let enter = move || {
        // SAFETY: plain numbers; the file stays open as long as the quarters, which outlive the
        // start of the process.
        unsafe {
            if let Some(namespace) = namespace {
                done(libc::setns(namespace, libc::CLONE_NEWNET))?;
            }
            done(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))
        }
    };
    // SAFETY: between fork and exec it makes two system calls, and no others.
    unsafe { command.pre_exec(enter) };
}

/// What a process is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Stand still.
    Stop,
    /// Go on.
    Continue,
}

/// Tells a process.
pub(super) fn signal(process: u32, signal: Signal) -> io::Result<()> {
    let process = libc::pid_t::try_from(process).map_err(io::Error::other)?;
    let signal = match signal {
        Signal::Stop => libc::SIGSTOP,
        Signal::Continue => libc::SIGCONT,
    };
    // SAFETY: plain numbers.
    done(unsafe { libc::kill(process, signal) })
}

/// Has a file system forget all that was not synced, and fail whoever uses it: its power is gone.
/// It takes any file of it, and what it has synced is there when it is mounted again.
pub(super) fn shut_down(file: &File) -> io::Result<()> {
    /// `FS_IOC_SHUTDOWN`.
    const SHUT_DOWN: libc::Ioctl = 0x8004_587d;
    /// Without writing the journal first.
    static AT_ONCE: u32 = 2;
    // SAFETY: the request takes one number, which outlives the call.
    done(unsafe { libc::ioctl(file.as_raw_fd(), SHUT_DOWN, &raw const AT_ONCE) })
}

/// Takes room for a file without writing to it.
pub(super) fn reserve(file: &File, from: u64, length: u64) -> io::Result<()> {
    let from = libc::off_t::try_from(from).map_err(io::Error::other)?;
    let length = libc::off_t::try_from(length).map_err(io::Error::other)?;
    // SAFETY: plain numbers; the file is open.
    done(unsafe { libc::fallocate(file.as_raw_fd(), 0, from, length) })
}
