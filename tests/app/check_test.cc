// Tests the subcommand as it is called: its report on a sound checkpoint and on bad ones, and its exit
// status.
#include "tests/app/command_fixture.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

class CheckCommand : public Command {
 protected:
  CheckCommand() : Command("check") {}

  // Copies a sound checkpoint, its tower inside, to be spoilt.
  fs::path copy_model() {
    const fs::path copy = directory() / "model";
    fs::copy(goldens_directory() / "models" / "llava15-tiny-hf", copy);
    return copy;
  }
};

TEST_F(CheckCommand, FindsASoundCheckpointComplete) {
  copy_model();
  const std::string output = run("--model model --tp 2");
  EXPECT_EQ(status(), 0) << output;
  EXPECT_NE(output.find("model: llava-1.5\n"), std::string::npos) << output;
  EXPECT_NE(output.find("2 LLM ranks"), std::string::npos) << output;
  EXPECT_TRUE(output.ends_with("complete\n")) << output;
}

TEST_F(CheckCommand, NamesMissingAndUnknownTensors) {
  const fs::path file = copy_model() / "model.safetensors";
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(stream), {});
  const size_t at = bytes.find("model.norm.weight\"");
  ASSERT_NE(at, std::string::npos);
  stream.seekp(static_cast<std::streamoff>(at));
  stream << "model.form.weight\"";
  stream.close();
  const std::string output = run("--model model");
  EXPECT_EQ(status(), 1) << output;
  for (const char* name : {"model.norm.weight", "model.form.weight"}) {
    EXPECT_NE(output.find(name), std::string::npos) << output;
  }
  EXPECT_EQ(output.find("complete\n"), std::string::npos) << output;
}

TEST_F(CheckCommand, NamesATruncatedFile) {
  const fs::path file = copy_model() / "model.safetensors";
  fs::resize_file(file, fs::file_size(file) / 2);
  const std::string output = run("--model model");
  EXPECT_EQ(status(), 1) << output;
  EXPECT_NE(output.find("model.safetensors"), std::string::npos) << output;
}

TEST_F(CheckCommand, TellsAWrongCallFromABadCheckpoint) {
  run("--model absent");
  EXPECT_EQ(status(), 1);
  run("--model absent --tp none");
  EXPECT_EQ(status(), 2);
}

TEST_F(CheckCommand, TellsTheMemoryOfAFormat) {
  copy_model();
  const std::string output = run("--model model --format int4");
  EXPECT_EQ(status(), 0) << output;
  EXPECT_NE(output.find("memory, int4, 1 LLM rank"), std::string::npos) << output;
  run("--model model --format int3");
  EXPECT_EQ(status(), 2);
}

}  // namespace
}  // namespace uhd
