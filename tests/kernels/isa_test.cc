#include "kernels/cpu/isa.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace uhd::cpu {
namespace {

using testing::ElementsAre;

Processor processor(const char* vendor, int family, int model, bool avx2, bool avx512, bool bf16) {
  return {.vendor = vendor,
          .family = family,
          .model = model,
          .avx2 = avx2,
          .avx512 = avx512,
          .avx512_bf16 = bf16};
}

TEST(TableOrder, FollowsVendorFamilyAndFeatures) {
  // AMD: Zen 2, Zen 4, Zen 5.
  EXPECT_THAT(table_order(processor("AuthenticAMD", 23, 49, true, false, false)),
              ElementsAre("avx2", "scalar"));
  EXPECT_THAT(table_order(processor("AuthenticAMD", 25, 17, true, true, true)),
              ElementsAre("avx512_bf16", "avx512", "avx2", "scalar"));
  EXPECT_THAT(table_order(processor("AuthenticAMD", 26, 2, true, true, true)),
              ElementsAre("avx512_bf16", "avx512", "avx2", "scalar"));
  // Intel: Haswell, Skylake-SP, Sapphire Rapids, Granite Rapids, and a family that nobody has measured.
  EXPECT_THAT(table_order(processor("GenuineIntel", 6, 63, true, false, false)),
              ElementsAre("avx2", "scalar"));
  EXPECT_THAT(table_order(processor("GenuineIntel", 6, 85, true, true, false)),
              ElementsAre("avx512", "avx2", "scalar"));
  EXPECT_THAT(table_order(processor("GenuineIntel", 6, 143, true, true, true)),
              ElementsAre("avx512", "avx512_bf16", "avx2", "scalar"));
  EXPECT_THAT(table_order(processor("GenuineIntel", 6, 173, true, true, true)),
              ElementsAre("avx512", "avx512_bf16", "avx2", "scalar"));
  EXPECT_THAT(table_order(processor("GenuineIntel", 19, 1, true, true, true)),
              ElementsAre("avx512_bf16", "avx512", "avx2", "scalar"));
  // Sapphire Rapids whose kernel permits the tiles, and one that hides AVX-512 from them.
  Processor tiles = processor("GenuineIntel", 6, 143, true, true, true);
  tiles.amx = true;
  EXPECT_THAT(table_order(tiles), ElementsAre("amx", "avx512", "avx512_bf16", "avx2", "scalar"));
  tiles.avx512 = false;
  EXPECT_THAT(table_order(tiles), ElementsAre("avx2", "scalar"));
  // Another vendor of the same numbers, a hypervisor that hides all but BF16, and no CPUID at all.
  EXPECT_THAT(table_order(processor("CentaurHauls", 6, 143, true, true, true)),
              ElementsAre("avx512_bf16", "avx512", "avx2", "scalar"));
  EXPECT_THAT(table_order(processor("GenuineIntel", 6, 143, false, false, true)), ElementsAre("scalar"));
  EXPECT_THAT(table_order({}), ElementsAre("scalar"));
  EXPECT_THAT(table_order({.neon = true}), ElementsAre("neon", "scalar"));
  EXPECT_THAT(table_order({.neon = true, .neon_bf16 = true}), ElementsAre("neon_bf16", "neon", "scalar"));
}

TEST(TableOrder, IsTheOrderOfTheTablesHere) {
  const std::vector<std::string_view> order = table_order(this_processor());
  const std::vector<const Table*> tables = available_tables();
  ASSERT_EQ(tables.size(), order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    ASSERT_NE(tables[i], nullptr) << order[i];
    EXPECT_EQ(tables[i]->name, order[i]);
    EXPECT_EQ(&choose_table(std::string(order[i])), tables[i]);
  }
  EXPECT_EQ(&choose_table("auto"), tables.front());
  EXPECT_EQ(&choose_table("amx_twin"), &kAmxTwinTable);
  EXPECT_EQ(this_processor().amx, order.front() == "amx");
  if (ask_for_tiles() != 0) {
    EXPECT_THROW(choose_table("amx"), Error);
  }
}

}  // namespace
}  // namespace uhd::cpu
