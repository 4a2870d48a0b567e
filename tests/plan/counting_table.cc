#include "tests/plan/counting_table.h"

#include <algorithm>
#include <atomic>

namespace uhd {
namespace {

const cpu::Table* inner_table = nullptr;
std::atomic<int64_t> products{0}, weights{0}, keys_and_values{0};

// A UnitForm says what a format has in one column of a panel: elements and bytes of a unit, and scales.
struct UnitForm {
  int64_t elements;
  int64_t bytes;
  int64_t scale_bytes;  // of a column
  int64_t group_units;  // that share a scale of `scale_bytes`; 0: the whole column does
};

template <auto Loop>
void count_panel(const cpu::PanelJob& job, const UnitForm& form) {
  products += job.rows * job.columns * job.units * form.elements;
  const int64_t groups = form.group_units == 0 ? 1 : (job.units + form.group_units - 1) / form.group_units;
  weights += job.columns * (job.units * form.bytes + groups * form.scale_bytes);
  (inner_table->*Loop)(job);
}

void panel_f32(const cpu::PanelJob& job) { count_panel<&cpu::Table::panel_f32>(job, {1, 4, 0, 0}); }
void panel_bf16(const cpu::PanelJob& job) { count_panel<&cpu::Table::panel_bf16>(job, {2, 4, 0, 0}); }
void panel_fp8(const cpu::PanelJob& job) { count_panel<&cpu::Table::panel_fp8>(job, {2, 2, 4, 0}); }
void panel_int8(const cpu::PanelJob& job) { count_panel<&cpu::Table::panel_int8>(job, {2, 2, 4, 0}); }
void panel_int8_codes(const cpu::PanelJob& job) {
  count_panel<&cpu::Table::panel_int8_codes>(job, {4, 4, 4, 0});
}
void panel_int4(const cpu::PanelJob& job) {
  count_panel<&cpu::Table::panel_int4>(job, {2, 1, 2, cpu::kGroupUnits});
}

// Scores and weighted sums of the keys that each row sees.
template <auto Loop>
void count_attention(const cpu::AttentionState& state, const cpu::KeyBlock& block, int64_t elements,
                     int64_t bytes) {
  const int64_t d = state.q_units * elements;
  for (int64_t r = 0; r < state.rows; ++r) {
    const int64_t seen = std::clamp<int64_t>(state.limit[r] - block.first_key, 0, block.keys);
    products += 2 * seen * d;
  }
  keys_and_values += 2 * block.keys * d * bytes;
  (inner_table->*Loop)(state, block);
}

void attend_f32(const cpu::AttentionState& state, const cpu::KeyBlock& block) {
  count_attention<&cpu::Table::attend_f32>(state, block, 1, 4);
}
void attend_bf16(const cpu::AttentionState& state, const cpu::KeyBlock& block) {
  count_attention<&cpu::Table::attend_bf16>(state, block, 2, 2);
}

}  // namespace

const cpu::Table& counting_table(const cpu::Table& inner) {
  static const cpu::Table table = [&] {
    inner_table = &inner;
    cpu::Table counting = inner;
    counting.panel_f32 = panel_f32;
    counting.panel_bf16 = panel_bf16;
    counting.panel_fp8 = panel_fp8;
    counting.panel_int8 = panel_int8;
    counting.panel_int8_codes = panel_int8_codes;
    counting.panel_int4 = panel_int4;
    counting.attend_f32 = attend_f32;
    counting.attend_bf16 = attend_bf16;
    return counting;
  }();
  return table;
}

Counted take_counted() {
  return {static_cast<double>(products.exchange(0)), static_cast<double>(weights.exchange(0)),
          static_cast<double>(keys_and_values.exchange(0))};
}

}  // namespace uhd
