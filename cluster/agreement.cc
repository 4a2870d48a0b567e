#include "cluster/agreement.h"

#include <algorithm>
#include <array>

#include "base/archive.h"
#include "base/error.h"

namespace uhd {
namespace {

constexpr size_t kMaxFacts = 8192;  // bytes of one rank's facts; every rank sends as many

using Block = std::array<uint8_t, kMaxFacts>;

Block packed(const Facts& facts) {
  std::vector<std::byte> bytes;
  Writer write(bytes);
  write(facts);
  check(bytes.size() <= kMaxFacts, "facts of ", bytes.size(), " bytes are too many");
  Block block{};
  std::memcpy(block.data(), bytes.data(), bytes.size());
  return block;
}

Facts unpacked(const Block& block) {
  Facts facts;
  Reader read(std::as_bytes(std::span(block)));
  read(facts);
  return facts;
}

const Fact* find(const Facts& facts, const std::string& name) {
  const auto found = std::find_if(facts.begin(), facts.end(), [&](const Fact& f) { return f.name == name; });
  return found == facts.end() ? nullptr : &*found;
}

void add(std::string& text, const std::string& more) { text += (text.empty() ? "" : "; ") + more; }

}  // namespace

std::string difference(const Facts& a, const std::string& of_a, const Facts& b, const std::string& of_b) {
  std::string text;
  for (const Fact& fact : a) {
    const Fact* other = find(b, fact.name);
    if (other == nullptr) {
      add(text, message(fact.name, " is known to ", of_a, " alone"));
    } else if (other->value != fact.value) {
      add(text, message(fact.name, " is ", fact.value, " on ", of_a, " and ", other->value, " on ", of_b));
    }
  }
  for (const Fact& fact : b) {
    if (find(a, fact.name) == nullptr) add(text, message(fact.name, " is known to ", of_b, " alone"));
  }
  return text;
}

void agree_on(const Facts& facts, Communicator& group) {
  if (group.size() == 1) return;
  Block mine = packed(facts);
  std::vector<Block> all(static_cast<size_t>(group.size()));
  const auto bytes = static_cast<int64_t>(kMaxFacts);
  group.all_gather(Tensor(all.data(), DType::u8, {group.size(), bytes}),
                   Tensor(mine.data(), DType::u8, {bytes}));
  for (size_t rank = 1; rank < all.size(); ++rank) {
    require(all[rank] == all[0], "the LLM ranks of this job have different settings: ",
            difference(unpacked(all[0]), "rank 0", unpacked(all[rank]), message("rank ", rank)));
  }
}

}  // namespace uhd
