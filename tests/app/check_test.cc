// Tests the subcommand as it is called: its report on a sound checkpoint and on bad ones, and its exit
// status.
#include <boost/json.hpp>

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

TEST_F(CheckCommand, TellsProgramsWhatItTellsPeople) {
  copy_model();
  const boost::json::value report = boost::json::parse(run("--model model --tp 2 --list --json"));
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(report.at("family").as_string(), "llava-1.5");
  EXPECT_TRUE(report.at("complete").as_bool());
  EXPECT_TRUE(report.at("problems").as_array().empty());
  EXPECT_EQ(report.at("memory").at("llm_ranks").to_number<int>(), 2);
  for (const char* place : {"cpu", "gpu"}) {
    const boost::json::value& memory = report.at("memory").at(place);
    EXPECT_GT(memory.at("llm_rank").at("weights").to_number<int64_t>(), 0);
    EXPECT_GT(memory.at("encoder_rank").at("pass").to_number<int64_t>(), 0);
  }
  EXPECT_GT(report.at("memory").at("cpu").at("total").to_number<int64_t>(), 0);
  int64_t counted = 0;
  for (const auto& [type, sum] : report.at("tensors").at("types").as_object()) {
    counted += sum.at("tensors").to_number<int64_t>();
  }
  EXPECT_EQ(report.at("tensors").at("list").as_array().size(), static_cast<size_t>(counted));

  fs::remove(directory() / "model" / "model.safetensors");
  fs::copy(goldens_directory() / "models" / "clip-tiny" / "model.safetensors", directory() / "model");
  const boost::json::value bad = boost::json::parse(run("--model model --json 2>/dev/null"));
  EXPECT_EQ(status(), 1);
  EXPECT_FALSE(bad.at("complete").as_bool());
  EXPECT_FALSE(bad.at("problems").as_array().empty());
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

TEST_F(CheckCommand, NamesAChatTemplateThatCannotAnswer) {
  std::ofstream(copy_model() / "chat_template.jinja") << "{% for";
  const std::string output = run("--model model");
  EXPECT_EQ(status(), 1) << output;
  EXPECT_NE(output.find("chat template: a tag does not end"), std::string::npos) << output;
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
