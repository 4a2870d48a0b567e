#include "model/weights/shard.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace uhd {

LanguageShard shard_of(const LanguageConfig& c, int rank, int size) {
  check(size >= 1 && rank >= 0 && rank < size, "rank ", rank, " of ", size);
  require(c.heads % size == 0, "tensor parallelism of ", size, " does not divide the model's ", c.heads,
          " attention heads");
  require(c.intermediate % size == 0, "tensor parallelism of ", size,
          " does not divide the model's MLP width of ", c.intermediate);
  require(c.kv_heads % size == 0 || size % c.kv_heads == 0, "tensor parallelism of ", size,
          " and the model's ", c.kv_heads, " key/value heads do not divide one another");
  LanguageShard s;
  s.rank = rank;
  s.size = size;
  s.heads = c.heads / size;
  s.first_head = rank * s.heads;
  s.kv_heads = std::max(1, c.kv_heads / size);
  s.first_kv_head = static_cast<int>(static_cast<int64_t>(rank) * c.kv_heads / size);
  s.units = c.intermediate / size;
  s.first_unit = rank * s.units;
  s.ids = (c.vocabulary + size - 1) / size;
  s.first_id = rank * s.ids;
  s.real_ids = std::clamp(c.vocabulary - s.first_id, 0, s.ids);
  return s;
}

int virtual_shards(const LanguageConfig& c, int ranks) {
  const int shards = std::gcd(kVirtualShards, std::gcd(c.heads, c.intermediate));
  require(shards % ranks == 0, "engine.deterministic sums over ", shards, " parts of this model, which ",
          ranks, " LLM ranks (llm.tensor_parallel) do not divide");
  return shards;
}

}  // namespace uhd
