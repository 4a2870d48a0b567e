#include "kernels/cpu/isa.h"

#include "base/error.h"

namespace uhd::cpu {

std::vector<const Table*> available_tables() {
  std::vector<const Table*> tables;
#if defined(UHD_X86)
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx512 && __builtin_cpu_supports("avx512bf16")) tables.push_back(&kAvx512Bf16Table);
  if (avx512) tables.push_back(&kAvx512Table);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables.push_back(&kAvx2Table);
#endif
  tables.push_back(&kScalarTable);
  return tables;
}

const Table& choose_table(const std::string& isa) {
  const std::vector<const Table*> tables = available_tables();
  if (isa == "auto") return *tables.front();
  std::string names;
  for (const Table* t : tables) {
    if (isa == t->name) return *t;
    names += (names.empty() ? "" : ", ") + std::string(t->name);
  }
  throw Error(
      message("backend.isa is '", isa, "', which this machine does not have; it can be: auto, ", names));
}

// Every table but the scalar one is for AVX2 or what includes it.
bool has_avx2(const std::string& isa) { return &choose_table(isa) != &kScalarTable; }

}  // namespace uhd::cpu
