#include "engine/leader/gap_budget.h"

#include <algorithm>

namespace uhd {
namespace {

// Rows of prompts that a step may have however long they take.
constexpr int kLeastPromptRows = 64;

}  // namespace

int GapBudget::step_rows(int decoding, int most) const {
  if (target_s_ == 0) return most;
  const bool taken = decoding > 0 && !prompts_ && encoding_s_ > target_s_ / 2;
  return step_time_.rows_within(target_s_ - encoding_s_, decoding + (taken ? 0 : kLeastPromptRows), most);
}

EncodingTurn GapBudget::encoding_turn(int decoding) const {
  EncodingTurn turn{.others_decode = decoding > 0};
  if (target_s_ == 0) return turn;
  const double left = target_s_ - step_time_.predict(decoding);
  turn.seconds = std::max(0.0, prompts_ ? left / 2 : left);
  return turn;
}

}  // namespace uhd
