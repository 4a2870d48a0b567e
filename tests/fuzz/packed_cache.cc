// Reads a file of packed weights, which is the one that was written, or the weight is packed anew.
#include "model/weights/packed_cache.h"
#include "model/weights/loader.h"
#include "tests/fuzz/targets.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

// A checkpoint of one weight, and the file that keeps it packed.
class Kept {
 public:
  Kept() {
    std::string header = R"({"w":{"dtype":"F32","shape":[8,8],"data_offsets":[0,256]}})";
    header.append((8 - header.size() % 8) % 8, ' ');
    const uint64_t size = header.size();
    directory_.write("model.safetensors",
                     std::string(reinterpret_cast<const char*>(&size), 8) + header + std::string(256, '\1'));
    packs();
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path() / "packed")) file_ = entry;
    must_hold(!file_.empty(), "no packed weight was kept");
    std::ifstream file(file_, std::ios::binary);
    whole_.assign(std::istreambuf_iterator<char>(file), {});
  }

  // The input says how the true file is changed: its length (0: as it is), then places and values.
  bool start(std::string_view bytes) const {
    std::string content = whole_;
    const auto number = [&](size_t at) {
      return static_cast<uint8_t>(bytes[at]) | size_t{static_cast<uint8_t>(bytes[at + 1])} << 8;
    };
    if (bytes.size() >= 2 && number(0) > 0) content.resize(number(0));
    for (size_t at = 2; at + 3 <= bytes.size(); at += 3) content[number(at) % content.size()] = bytes[at + 2];
    std::filesystem::remove(file_);  // an earlier mapping keeps its own
    std::ofstream(file_, std::ios::binary) << content;
    const bool packed = packs();
    constexpr size_t kHead = 4096;
    const bool same = content.size() == whole_.size() && content.substr(0, kHead) == whole_.substr(0, kHead);
    must_hold(packed != same,
              "a file was taken that is not the one that was written, or the other way round");
    return same;
  }

 private:
  // Returns true if the weight was packed and not mapped.
  bool packs() const {
    const auto backend = make_backend({.threads = 1, .isa = "scalar"});
    Checkpoint checkpoint(directory_.path());
    checkpoint.keep_packed(std::make_shared<PackedCache>(directory_.path() / "packed", "layout"));
    Loader loader(checkpoint, *backend, WeightFormat::bf16);
    const RowRange rows[] = {{"w", 0, 8}};
    const Weight weight = loader.rows(rows, 8);
    touch({static_cast<const std::byte*>(weight.data.data()), weight.data.bytes()});
    return backend->allocated() > 0;
  }

  TemporaryDirectory directory_;
  std::filesystem::path file_;
  std::string whole_;
};

}  // namespace

bool fuzz_packed_cache(std::string_view bytes) {
  static const Kept kept;
  return kept.start(bytes);
}

}  // namespace uhd
