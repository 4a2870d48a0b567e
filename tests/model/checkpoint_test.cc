#include "model/weights/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "base/error.h"
#include "model/config.h"
#include "model/text/chat_template.h"
#include "model/text/tokenizer.h"
#include "model/weights/loader.h"
#include "tests/support/temporary_directory.h"

namespace uhd {
namespace {

using ::testing::HasSubstr;

std::string little(uint64_t value, int bytes) {
  return std::string(reinterpret_cast<const char*>(&value), static_cast<size_t>(bytes));
}
std::string floats(std::initializer_list<float> values) {
  return std::string(reinterpret_cast<const char*>(values.begin()), values.size() * 4);
}
std::string safetensors(const std::string& header, const std::string& data) {
  return little(header.size(), 8) + header + data;
}
std::string failure_of(const std::filesystem::path& directory) {
  try {
    const Checkpoint checkpoint(directory);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}
std::string failure_of_header(const std::string& header, const std::string& data) {
  const TemporaryDirectory directory;
  directory.write("model.safetensors", safetensors(header, data));
  return failure_of(directory.path());
}
// One F32 tensor "w" of `shape` at `offsets`, in a file of 8 bytes of data.
std::string failure_of_tensor(const std::string& shape, const std::string& offsets,
                              const std::string& dtype = "F32") {
  return failure_of_header(
      R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}",
      floats({1, 2}));
}

TEST(Safetensors, ReadsTensorsAndIgnoresMetadata) {
  const TemporaryDirectory directory;
  directory.write("model.safetensors", safetensors(R"({"__metadata__":{"format":"pt"},
      "b":{"dtype":"F32","shape":[2,1],"data_offsets":[4,12]},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}} )",
                                                   floats({1, 2, 3})));
  const Checkpoint checkpoint(directory.path());
  ASSERT_EQ(checkpoint.tensors().size(), 2u);
  const Tensor* b = checkpoint.find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->shape(), (Shape{2, 1}));
  EXPECT_EQ(b->data<float>()[1], 3.0f);
  EXPECT_EQ(checkpoint.find("a")->elements(), 1);
  EXPECT_EQ(checkpoint.find("c"), nullptr);
}

TEST(Safetensors, CopiesWhatIsNotAligned) {
  const TemporaryDirectory directory;
  const std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  directory.write("model.safetensors", safetensors(header, std::string(1, 'x') + floats({4})));
  const Checkpoint checkpoint(directory.path());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(checkpoint.find("b")->raw()) % 4, 0u);
  EXPECT_EQ(checkpoint.find("b")->data<float>()[0], 4.0f);
}

TEST(Safetensors, RefusesLyingHeaders) {
  const TemporaryDirectory directory;
  directory.write("model.safetensors", little(~uint64_t{0}, 8) + "{}");
  EXPECT_THAT(failure_of(directory.path()), HasSubstr("says its header has"));
  directory.write("model.safetensors", "{}");
  EXPECT_THAT(failure_of(directory.path()), HasSubstr("too short"));
  directory.write("model.safetensors", little(3, 8) + "{}");
  EXPECT_THAT(failure_of(directory.path()), HasSubstr("says its header has 3 bytes"));
  EXPECT_THAT(failure_of_header("[1]", ""), HasSubstr("not a JSON object"));
  EXPECT_THAT(failure_of_header("{\"a\":", ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(failure_of_header(std::string(100000, '['), ""), HasSubstr("not valid JSON"));
}

TEST(Safetensors, RefusesLyingTensors) {
  EXPECT_EQ(failure_of_tensor("[2]", "[0,8]"), "no error");
  EXPECT_THAT(failure_of_tensor("[3]", "[0,8]"), HasSubstr("tensor w has 8 bytes; its shape needs 12"));
  EXPECT_THAT(failure_of_tensor("[2]", "[8,16]"), HasSubstr("tensor w lies at bytes 8 to 16 of 8"));
  EXPECT_THAT(failure_of_tensor("[2]", "[-8,0]"), HasSubstr("tensor w has an offset"));
  EXPECT_THAT(failure_of_tensor("[2]", "[0,1e30]"), HasSubstr("tensor w has an offset"));
  EXPECT_THAT(failure_of_tensor("[2]", "[18446744073709551608,16]"), HasSubstr("tensor w lies at"));
  EXPECT_THAT(failure_of_tensor("[-2]", "[0,8]"), HasSubstr("negative size"));
  EXPECT_THAT(failure_of_tensor("[4611686018427387904,4]", "[0,8]"), HasSubstr("absurd shape"));
  EXPECT_THAT(failure_of_tensor("[4611686018427387904,0,4]", "[0,0]"), HasSubstr("absurd shape"));
  EXPECT_THAT(failure_of_tensor("[1,1,1,1,2]", "[0,8]"), HasSubstr("more than 4"));
  EXPECT_THAT(failure_of_tensor("[2]", "[0,8]", "F64"), HasSubstr("unsupported dtype 'F64'"));
  EXPECT_THAT(failure_of_tensor("[1]", "[0,4]"), HasSubstr("4 bytes after the last tensor"));
  EXPECT_THAT(failure_of_tensor("[1]", "[4,8]"), HasSubstr("4 bytes before tensor w"));
  EXPECT_THAT(failure_of_tensor("[2]", "[0]"), HasSubstr("data_offsets"));
  EXPECT_THAT(failure_of_tensor("2", "[0,8]"), HasSubstr("no shape"));
}

TEST(Safetensors, RefusesOverlapAndDuplicates) {
  const std::string a = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  const std::string b = R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]})";
  EXPECT_THAT(failure_of_header("{" + a + "," + b + "}", floats({1, 2})), HasSubstr("b overlaps"));
  EXPECT_THAT(failure_of_header("{" + a + "," + a + "}", floats({1, 2})), HasSubstr("names a tensor twice"));
}

TEST(Checkpoint, ReadsShardsByTheirIndex) {
  const TemporaryDirectory directory;
  const auto one = [](const std::string& name, float value) {
    return safetensors("{\"" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                       floats({value}));
  };
  directory.write("one.safetensors", one("a", 1));
  directory.write("two.safetensors", one("b", 2));
  const auto index = [&](const std::string& map) {
    directory.write("model.safetensors.index.json", R"({"weight_map":)" + map + "}");
  };
  index(R"({"a":"one.safetensors","b":"two.safetensors"})");
  EXPECT_EQ(Checkpoint(directory.path()).find("b")->data<float>()[0], 2.0f);
  index(R"({"a":"one.safetensors","c":"two.safetensors"})");
  EXPECT_THAT(failure_of(directory.path()), HasSubstr("tensor c is not in two.safetensors"));
  index(R"({"a":"../one.safetensors"})");
  EXPECT_THAT(failure_of(directory.path()), HasSubstr("not the name of a file beside it"));
  index(R"({"a":"three.safetensors"})");
  EXPECT_THAT(failure_of(directory.path()), HasSubstr("three.safetensors"));
  directory.write("two.safetensors", one("a", 2));
  index(R"({"a":"one.safetensors","b":"two.safetensors"})");
  EXPECT_THAT(failure_of(directory.path()), HasSubstr("tensor a is in another file"));
  index("7");
  EXPECT_THAT(failure_of(directory.path()), HasSubstr("weight_map"));
}

TEST(Checkpoint, WhatWasDroppedReadsAsBefore) {
  const TemporaryDirectory directory;
  std::vector<float> values(1 << 16);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  std::string header = R"({"all":{"dtype":"F32","shape":[256,256],"data_offsets":[0,262144]}})";
  header.append((8 - header.size() % 8) % 8, ' ');  // so that the tensor lies aligned, and is not copied
  const std::string data(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  directory.write("model.safetensors", safetensors(header, data));
  const Checkpoint checkpoint(directory.path());
  const Tensor all = *checkpoint.find("all");
  const std::vector<float> before = floats_of(all);
  for (const Tensor& part : {all, all.slice_rows(3, 200), all.slice_columns(5, 40), all.slice_rows(256, 0)}) {
    checkpoint.drop(part);
    EXPECT_EQ(floats_of(all), before);
  }
  std::vector<float> own(1 << 14, 3.0f);  // not of the file: pages of this memory would come back as zeros
  checkpoint.drop(Tensor::of(own.data(), {128, 128}));
  EXPECT_EQ(own, std::vector<float>(1 << 14, 3.0f));
}

// An embedding table is as large as the head, and a prompt uses few of its rows.
TEST(Loader, LeavesATableInTheFileOnTheHost) {
  const TemporaryDirectory directory;
  const std::string header = R"({"w":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]}})";
  directory.write("model.safetensors",
                  safetensors(header + std::string(8 - header.size() % 8, ' '), floats({1, 2, 3, 4, 5, 6})));
  const auto backend = make_backend({.threads = 1});
  DeviceTensor table;
  {
    const Checkpoint checkpoint(directory.path());
    table = Loader(checkpoint, *backend, WeightFormat::f32).table({"w", 1, 2});
    EXPECT_EQ(table.view.raw(), checkpoint.find("w")->slice_rows(1, 2).raw());
    EXPECT_EQ(backend->allocated(), 0U);
  }
  EXPECT_EQ(table.view.row<float>(1)[0], 5.0f) << "the file is mapped for as long as the table is";
}

TEST(Loader, CopiesATableThatNoFileHolds) {
  const std::vector<float> values{1, 2, 3, 4};
  const Checkpoint checkpoint({{"w", Tensor::of(values.data(), {2, 2})}}, {});
  const auto backend = make_backend({.threads = 1});
  const DeviceTensor table = Loader(checkpoint, *backend, WeightFormat::f32).table({"w", 1, 1});
  EXPECT_NE(static_cast<const void*>(table.view.raw()), &values[2]);
  EXPECT_EQ(table.view.row<float>(0)[1], 4.0f);
}

TEST(Checkpoint, SaysThatThereAreNoWeights) {
  const TemporaryDirectory directory;
  EXPECT_THAT(failure_of(directory.path()), HasSubstr("holds no weights"));
  EXPECT_THAT(failure_of(directory.path() / "absent"), HasSubstr("not a directory"));
}

// Each file of a checkpoint that we read may be there in name only.
TEST(Checkpoint, FilesThatWereNotDownloadedAreNamedSo) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, '0') + "\nsize 12345678\n";
  const std::pair<const char*, std::function<void(const std::filesystem::path&)>> readers[] = {
      {"model.safetensors", [](const auto& path) { Checkpoint{path}; }},
      {"model.safetensors.index.json", [](const auto& path) { Checkpoint{path}; }},
      {"model-00001-of-00002.safetensors", [](const auto& path) { Checkpoint{path}; }},
      {"pytorch_model.bin", [](const auto& path) { Checkpoint{path}; }},
      {"pytorch_model.bin.index.json", [](const auto& path) { Checkpoint{path}; }},
      {"config.json", [](const auto& path) { read_model_config(path); }},
      {"tokenizer.json", [](const auto& path) { load_tokenizer(path); }},
      {"tokenizer.model", [](const auto& path) { load_tokenizer(path); }},
      {"tokenizer_config.json", [](const auto& path) { load_chat_template(path); }},
      {"chat_template.jinja", [](const auto& path) { load_chat_template(path); }},
      {"special_tokens_map.json", [](const auto& path) { load_chat_template(path); }},
  };
  for (const auto& [name, read] : readers) {
    const TemporaryDirectory lfs;
    lfs.write(name, pointer);
    const TemporaryDirectory broken;
    std::filesystem::create_symlink("../../blobs/abc", broken.path() / name);
    for (const auto& [directory, words] :
         {std::pair(&lfs, "is a Git LFS pointer"), {&broken, "is a broken link to ../../blobs/abc"}}) {
      std::string failure = "no error";
      try {
        read(directory->path());
      } catch (const Error& error) {
        failure = error.what();
      }
      EXPECT_THAT(failure, HasSubstr(std::string("/") + name + " " + words));
    }
  }
}

}  // namespace
}  // namespace uhd
