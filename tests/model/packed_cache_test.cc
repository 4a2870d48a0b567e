#include "model/weights/packed_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "model/weights/loader.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

std::string floats_file(const std::vector<float>& values, int rows, int columns) {
  const std::string bytes = std::to_string(values.size() * sizeof(float));
  std::string header = R"({"w":{"dtype":"F32","shape":[)" + std::to_string(rows) + "," +
                       std::to_string(columns) + R"(],"data_offsets":[0,)" + bytes + "]}}";
  header.append((8 - header.size() % 8) % 8, ' ');
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header +
         std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

std::string bytes_of(const DeviceBuffer& buffer) {
  return {static_cast<const char*>(buffer.data()), buffer.bytes()};
}

std::vector<fs::path> files_in(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

class PackedCacheTest : public testing::Test {
 protected:
  static constexpr int kRows = 150, kColumns = 96;

  PackedCacheTest() {
    std::vector<float> values(size_t{kRows} * kColumns);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 251) - 125;
    model_.write("model.safetensors", floats_file(values, kRows, kColumns));
  }

  // A start: the rows and the columns of a rank, packed or taken from the cache.
  struct Start {
    std::unique_ptr<Backend> backend = make_backend({.threads = 1, .isa = "scalar"});
    Weight rows, columns;
    bool owned = false;  // by the backend, which packed: not mapped
  };

  Start start(WeightFormat format, bool cached = true, const std::string& layout = "test") const {
    Checkpoint checkpoint(model_.path());
    if (cached) checkpoint.keep_packed(std::make_shared<PackedCache>(cache_.path() / "packed", layout));
    Start result;
    Loader loader(checkpoint, *result.backend, format);
    const RowRange ranges[] = {{"w", 10, 90}, {"w", 0, 5}};
    result.rows = loader.rows(ranges, 130);
    result.columns = loader.columns("w", 32, 32);
    result.owned = result.backend->allocated() > 0;
    return result;
  }

  void expect_same(const Start& a, const Start& b) const {
    for (const auto& [x, y] : {std::pair{&a.rows, &b.rows}, {&a.columns, &b.columns}}) {
      EXPECT_EQ(x->n, y->n);
      EXPECT_EQ(x->k, y->k);
      EXPECT_EQ(x->format, y->format);
      EXPECT_TRUE(bytes_of(x->data) == bytes_of(y->data));
      EXPECT_TRUE(bytes_of(x->scales) == bytes_of(y->scales));
    }
  }

  std::vector<fs::path> files() const { return files_in(cache_.path() / "packed"); }

  const TemporaryDirectory model_, cache_;
};

TEST_F(PackedCacheTest, TheNextStartMapsTheSameBytes) {
  for (const WeightFormat format :
       {WeightFormat::f32, WeightFormat::bf16, WeightFormat::int8, WeightFormat::int4}) {
    const Start plain = start(format, false);
    const Start first = start(format);
    EXPECT_TRUE(first.owned);
    const Start second = start(format);
    EXPECT_FALSE(second.owned) << name_of(format);
    expect_same(plain, first);
    expect_same(plain, second);
  }
  EXPECT_EQ(files().size(), 8u);
  EXPECT_TRUE(start(WeightFormat::f32, true, "another layout").owned);
}

// A mapped weight multiplies as a packed one does.
TEST_F(PackedCacheTest, AMappedWeightWorks) {
  start(WeightFormat::bf16);
  const Start mapped = start(WeightFormat::bf16), packed = start(WeightFormat::bf16, false);
  std::vector<float> x(kColumns, 0.5f), a(130), b(130);
  for (const auto& [from, to] : {std::pair{&mapped, &a}, {&packed, &b}})
    from->backend->matmul(Tensor::of(to->data(), {1, 130}), Tensor::of(x.data(), {1, kColumns}), from->rows);
  EXPECT_EQ(a, b);
}

TEST_F(PackedCacheTest, AFileThatIsNotAsExpectedIsPackedAnew) {
  const Start plain = start(WeightFormat::bf16, false);
  const auto damage = [&](const auto& harm) {
    start(WeightFormat::bf16);
    for (const fs::path& file : files()) harm(file);
    const Start again = start(WeightFormat::bf16);
    EXPECT_TRUE(again.owned);
    expect_same(plain, again);
    const Start mended = start(WeightFormat::bf16);
    EXPECT_FALSE(mended.owned);
    expect_same(plain, mended);
  };
  damage([](const fs::path& file) { fs::resize_file(file, fs::file_size(file) / 2); });
  damage([](const fs::path& file) { fs::resize_file(file, fs::file_size(file) + 1); });
  damage([](const fs::path& file) { fs::resize_file(file, 0); });
  for (const int at : {0, 20, 30, 60, 4000}) {
    damage([at](const fs::path& file) {
      std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
      stream.seekp(at);
      stream.put('\x7f');
    });
  }
}

TEST_F(PackedCacheTest, AnotherCheckpointIsPackedAnew) {
  start(WeightFormat::bf16);
  std::vector<float> values(size_t{kRows} * kColumns, 2.0f);
  const auto written = fs::last_write_time(model_.path() / "model.safetensors");
  model_.write("model.safetensors", floats_file(values, kRows, kColumns));
  fs::last_write_time(model_.path() / "model.safetensors", written);  // size and time as before
  const Start changed = start(WeightFormat::bf16);
  EXPECT_TRUE(changed.owned);
  expect_same(start(WeightFormat::bf16, false), changed);
}

TEST_F(PackedCacheTest, AFullDiskKeepsNothingAndHarmsNothing) {
  const Start plain = start(WeightFormat::f32, false);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 8192;  // a write beyond fails as on a full disk
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Start first = start(WeightFormat::f32);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  expect_same(plain, first);
  EXPECT_TRUE(files().empty());
  start(WeightFormat::f32);
  EXPECT_FALSE(start(WeightFormat::f32).owned);
}

TEST_F(PackedCacheTest, TwoStartsAtOnceEndWithOneCompleteFileEach) {
  const Start plain = start(WeightFormat::bf16, false);
  std::vector<std::jthread> starts;
  for (int i = 0; i < 4; ++i) starts.emplace_back([&] { expect_same(plain, start(WeightFormat::bf16)); });
  starts.clear();
  EXPECT_EQ(files().size(), 2u);
  EXPECT_FALSE(start(WeightFormat::bf16).owned);
}

TEST_F(PackedCacheTest, WhatACutOffWriterLeftIsRemovedOnceItIsOld) {
  start(WeightFormat::bf16);
  const fs::path old = cache_.path() / "packed" / "x.weight.abc.part", young = old.string() + ".part";
  std::ofstream(old) << "half";
  std::ofstream(young) << "half";
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(2));
  EXPECT_FALSE(start(WeightFormat::bf16).owned);
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(young));
}

TEST_F(PackedCacheTest, ADirectoryThatCannotBeMadeIsAnErrorThatNamesIt) {
  const fs::path file = cache_.path() / "file";
  std::ofstream(file) << "x";
  EXPECT_THAT([&] { PackedCache(file, "test"); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("model.cache_dir=" + file.string())));
}

}  // namespace
}  // namespace uhd
