#include "kernels/cpu/isa.h"

#if defined(UHD_X86)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(UHD_ARM64)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace uhd::cpu {
namespace {

// Intel's cores of family 6 begin one VDPBF16PS in the time of four FMAs of f32 (measured on one with AMX:
// 0.12 against 0.24 TFLOP/s a core), so bfloat16 that is widened to f32 multiplies faster there. AMD's begin
// one in the time of one FMA.
bool bf16_dot_is_slow(const Processor& processor) {
  return processor.vendor == "GenuineIntel" && processor.family == 6;
}

const Table* table_named(std::string_view name) {
#if defined(UHD_X86)
  for (const Table* table : {&kAmxTable, &kAvx512Bf16Table, &kAvx512Table, &kAvx2Table})
    if (name == table->name) return table;
#elif defined(UHD_ARM64)
  for (const Table* table : {&kNeonBf16Table, &kNeonTable})
    if (name == table->name) return table;
#endif
  return name == kScalarTable.name ? &kScalarTable : nullptr;
}

#if defined(UHD_X86)
void read_identity(Processor& processor) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d) == 0) return;
  const std::array<unsigned, 3> letters{b, d, c};
  processor.vendor.assign(reinterpret_cast<const char*>(letters.data()), sizeof letters);
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return;
  const unsigned family = a >> 8 & 0xf;
  const unsigned model = a >> 4 & 0xf;
  const bool extended = family == 6 || family == 15;
  processor.family = static_cast<int>(family == 15 ? family + (a >> 20 & 0xff) : family);
  processor.model = static_cast<int>(extended ? model | (a >> 12 & 0xf0) : model);
}

// AMX-TILE, AMX-BF16 and AMX-INT8, whose state the system keeps: XCR0's bits 17 and 18.
bool has_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kTileBits = 1u << 22 | 1u << 24 | 1u << 25, kOsXsave = 1u << 27;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kOsXsave) == 0) return false;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTileBits) != kTileBits) return false;
  asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  constexpr unsigned kTileState = 3u << 17;
  return (a & kTileState) == kTileState;
}

int request_tiles() {
  if (!has_tiles()) return ENODEV;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM of <asm/prctl.h>
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0 ? 0 : errno;
}
#else
int request_tiles() { return ENODEV; }
#endif

}  // namespace

int ask_for_tiles() {
  static const int answer = request_tiles();
  return answer;
}

Processor this_processor() {
  Processor processor;
#if defined(UHD_X86)
  read_identity(processor);
  __builtin_cpu_init();
  processor.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  processor.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  processor.avx512_bf16 =
      processor.avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni");
  processor.amx = processor.avx512_bf16 && ask_for_tiles() == 0;
#elif defined(UHD_ARM64)
  constexpr unsigned long kProducts = HWCAP2_BF16 | HWCAP2_I8MM;
  processor.neon = (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0;
  processor.neon_bf16 = processor.neon && (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0 &&
                        (getauxval(AT_HWCAP2) & kProducts) == kProducts;
#endif
  return processor;
}

std::vector<std::string_view> table_order(const Processor& processor) {
  std::vector<std::string_view> order;
  const bool bf16 = processor.avx512 && processor.avx512_bf16;
  const bool slow = bf16_dot_is_slow(processor);
  if (bf16 && processor.amx) order.emplace_back("amx");
  if (bf16 && !slow) order.emplace_back("avx512_bf16");
  if (processor.avx512) order.emplace_back("avx512");
  if (bf16 && slow) order.emplace_back("avx512_bf16");
  if (processor.avx2) order.emplace_back("avx2");
  if (processor.neon && processor.neon_bf16) order.emplace_back("neon_bf16");
  if (processor.neon) order.emplace_back("neon");
  order.emplace_back("scalar");
  return order;
}

std::vector<const Table*> available_tables() {
  std::vector<const Table*> tables;
  for (const std::string_view name : table_order(this_processor())) tables.push_back(table_named(name));
  return tables;
}

std::vector<const Table*> twin_tables() {
  std::vector<const Table*> twins{&kAmxTwinTable};
#if defined(UHD_X86)
  if (this_processor().avx512_bf16) twins.push_back(&kAmxTwinAvx512Table);
#endif
  return twins;
}

std::string why_no_tiles() {
  const int error = ask_for_tiles();
  if (error == 0 || error == ENODEV) return "";
  // The system answers so where a thread could not keep the tiles while it handles a signal.
  return error == ENOSPC ? "a stack for signals is too small" : std::strerror(error);
}

const Table& choose_table(const std::string& isa) {
  const std::vector<const Table*> tables = available_tables();
  if (isa == "auto") return *tables.front();
  for (const Table* twin : twin_tables())
    if (isa == twin->name) return *twin;
  std::string names;
  for (const Table* t : tables) {
    if (isa == t->name) return *t;
    names += (names.empty() ? "" : ", ") + std::string(t->name);
  }
  if (isa == "amx") {
    const std::string reason = why_no_tiles();
    require(reason.empty(), "backend.isa is 'amx', which the system does not permit: ", reason);
  }
  throw Error(
      message("backend.isa is '", isa, "', which this machine does not have; it can be: auto, ", names));
}

bool has_avx2([[maybe_unused]] const std::string& isa) {
#if defined(UHD_X86)  // every table there but those in plain C++ is for AVX2 or what includes it
  const Table* table = &choose_table(isa);
  return table != &kScalarTable && table != &kAmxTwinTable;
#else
  return false;
#endif
}

bool has_avx512_bytes([[maybe_unused]] const std::string& isa) {
#if defined(UHD_X86)
  const Table* table = &choose_table(isa);
  return (table == &kAmxTable || table == &kAmxTwinAvx512Table || table == &kAvx512Table ||
          table == &kAvx512Bf16Table) &&
         __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

}  // namespace uhd::cpu
