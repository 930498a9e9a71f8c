//! Lets User Mode Linux run on processors whose registers it has no room for.
//!
//! The guest's kernel saves and restores the floating-point registers of its processes with `PTRACE_GETREGSET` and
//! `PTRACE_SETREGSET`, in a buffer of 2,696 bytes: AVX-512 and protection keys. A host whose processor has AMX or APX
//! keeps more, refuses the short buffer with EFAULT, and the guest panics at its first process ("ptrace set fp regs
//! failed, errno = 14"). If `PTRACE_GETREGSET` is refused from the start, the guest's kernel falls back to
//! `PTRACE_GETFPREGS`, which never grew. So on such a host the guest runs under a seccomp filter that refuses that one
//! request.
//!
//! Without the larger register set, a page fault in the guest zeroes the upper halves of the AVX registers of the process
//! that it hits, and `memcpy` copies zeroes. So nothing in such a guest may use them. glibc and OpenSSL ask the
//! instruction `xgetbv` which registers the kernel saves; in the guest's own copies of the two files, which are gone with
//! it, that instruction answers "none". The first process, which is there before, is told by `GLIBC_TUNABLES`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// `ptrace` of the host, from `asm/unistd_64.h`; User Mode Linux exists on x86-64 only.
const PTRACE: i64 = 101;

/// `PTRACE_GETREGSET` from `linux/ptrace.h`.
const GETREGSET: u64 = 0x4204;

/// `EIO`, which ptrace(2) documents for a request that does not exist.
const EIO: u32 = 5;

/// The features whose registers do not fit, as `/proc/cpuinfo` names them.
const TOO_LARGE: &[&str] = &["amx_tile", "apx"];

/// The variable that keeps glibc to registers that are always saved, and tells the guest that it is limited.
const VARIABLE: &str = "GLIBC_TUNABLES";

/// What glibc is to leave alone.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX512VL,-AVX512BW,-AVX512F,-AVX2,-AVX,-AVX_Fast_Unaligned_Load";

/// The libraries that choose their code by the processor, as Debian names their files.
const LIBRARIES: &[&str] =
    &["/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3"];

/// `xor %ecx,%ecx; xgetbv`: which registers does the kernel save?
const QUESTION: &[u8] = &[0x31, 0xc9, 0x0f, 0x01, 0xd0];

/// `xor %ecx,%ecx; xor %eax,%eax; nop`: none of the large ones.
const ANSWER: &[u8] = &[0x31, 0xc9, 0x31, 0xc0, 0x90];

/// Refuses the request for this thread and everything that it starts, if this host needs it.
pub fn limit_if_needed() -> Result<(), String> {
    if !is_needed() {
        return Ok(());
    }
    let program = filter().map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

/// Returns what the guest's kernel must put into the environment of its first process, if this host needs it.
pub fn kernel_argument() -> Option<OsString> {
    is_needed().then(|| format!("{VARIABLE}={TUNABLES}").into())
}

/// Hides the large registers from the programs of this guest, if it runs under the limit.
pub fn hide_in_guest() -> Result<(), String> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(());
    }
    LIBRARIES.iter().map(Path::new).filter(|library| library.exists()).try_for_each(|library| {
        hide_in(library).map_err(|error| format!("{} cannot be replaced in the guest: {error}", library.display()))
    })
}

/// Puts a changed copy in the place of the library; programs that run already keep the one that they have.
fn hide_in(library: &Path) -> std::io::Result<()> {
    let mut content = fs::read(library)?;
    let Some(start) = content.windows(QUESTION.len()).position(|window| window == QUESTION) else { return Ok(()) };
    if let Some(place) = content.get_mut(start..start + QUESTION.len()) {
        place.copy_from_slice(ANSWER);
    }
    let copy = library.with_extension("lvsctl");
    fs::write(&copy, content)?;
    fs::set_permissions(&copy, fs::metadata(library)?.permissions())?;
    fs::rename(copy, library)
}

fn is_needed() -> bool {
    has_too_large_registers(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

fn has_too_large_registers(processors: &str) -> bool {
    let flags = processors.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    flags.split_whitespace().any(|flag| TOO_LARGE.contains(&flag))
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let request = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, GETREGSET)?;
    let rules = BTreeMap::from([(PTRACE, vec![SeccompRule::new(vec![request])?])]);
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(EIO), architecture)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processors_with_larger_registers_are_limited() {
        let flags = |flags: &str| format!("processor\t: 0\nflags\t\t: fpu sse2 {flags}\nbugs\t\t: amx_tile\n");
        assert!(has_too_large_registers(&flags("avx512f amx_bf16 amx_tile amx_int8")));
        assert!(!has_too_large_registers(&flags("avx avx2 avx512f pku")));
        assert!(!has_too_large_registers(""));
    }

    #[test]
    fn the_question_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libexample.so.3");
        fs::write(&library, [b"before", QUESTION, b"after"].concat()).unwrap();
        hide_in(&library).unwrap();
        assert_eq!(fs::read(&library).unwrap(), [b"before", ANSWER, b"after"].concat());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_filter_compiles() {
        assert!(filter().is_ok_and(|program| !program.is_empty()));
    }
}
