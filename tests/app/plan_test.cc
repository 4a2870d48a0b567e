// Tests the subcommand as it is called: its report on a directory that holds no weights, and on wrong calls.
#include <boost/json.hpp>

#include "base/mapped_file.h"
#include "plan/machine.h"
#include "tests/app/command_fixture.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

class PlanCommand : public Command {
 protected:
  PlanCommand() : Command("plan") {
    for (const char* model : {"uhd-v1-tiny", "clip-tiny"}) {
      fs::create_directories(directory() / model);
      fs::copy(goldens_directory() / "models" / model / "config.json", directory() / model / "config.json");
    }
  }

  std::string plan(const std::string& arguments) { return run("--model uhd-v1-tiny " + arguments); }

  void expect_error(const std::string& arguments, const std::string& words, int code = 1) {
    const std::string output = plan(arguments);
    EXPECT_EQ(status(), code) << arguments << ": " << output;
    EXPECT_NE(output.find(words), std::string::npos) << arguments << ": " << output;
  }
};

constexpr const char* kMachine =
    "name: Own\nbf16_tflops: 100\nmemory_gb_s: 500\nmemory_gb: 24\nlink_gb_s: 10\nmultiprocessors: 20\n";

TEST_F(PlanCommand, PrintsAPlanForPeople) {
  const std::string output = plan("--picture 672x1008");
  EXPECT_EQ(status(), 0) << output;
  for (const char* words :
       {"no device can beat one of them, and nothing was measured", "1008 visual tokens, 6 of the layout",
        "H100:", "H200:", "A100:", "L40S:", "fits on 1 rank", "engine.token_budget"}) {
    EXPECT_NE(output.find(words), std::string::npos) << words << "\n" << output;
  }
}

TEST_F(PlanCommand, PrintsAPlanForPrograms) {
  write("own.yaml", kMachine);
  const json::value report =
      json::parse(plan("--json --device h200 --machine own.yaml --ranks 4,1 --context 1000 --format int8"));
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(report.at("visual_tokens").to_number<int>(), 1008);
  EXPECT_EQ(report.at("prompt_rows").to_number<int>(), 1008 + 6 + 64);
  EXPECT_EQ(report.at("format").as_string(), "int8");
  const json::array& devices = report.at("devices").as_array();
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].at("device").as_string(), "H200");
  EXPECT_EQ(devices[1].at("device").as_string(), "Own");
  EXPECT_EQ(devices[1].at("fewest_ranks").to_number<int>(), 1);
  const json::array& ranks = devices[1].at("ranks").as_array();
  ASSERT_EQ(ranks.size(), 2u);
  EXPECT_EQ(ranks[0].at("ranks").to_number<int>(), 1);
  EXPECT_EQ(ranks[1].at("ranks").to_number<int>(), 4);
  EXPECT_GT(ranks[0].at("weight_bytes").to_number<int64_t>(),
            ranks[1].at("weight_bytes").to_number<int64_t>());
}

// The weights are the same, to the byte, as the other subcommand reports for a whole checkpoint.
TEST_F(PlanCommand, TellsTheMemoryThatCheckTells) {
  const fs::path model = fs::absolute(goldens_directory() / "models" / "uhd-v1-tiny");
  const json::value report =
      json::parse(run("--json --device A100 --ranks 2 --model '" + model.string() + "'"));
  const json::value& plan = report.at("devices").at(0).at("ranks").at(0);
  FILE* pipe =
      popen(("'" UHD_PROGRAM "' check --tp 2 --format bf16 --model '" + model.string() + "'").c_str(), "r");
  std::string check;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) check += static_cast<char>(c);
  ASSERT_EQ(pclose(pipe), 0) << check;
  for (const char* key : {"weight_bytes", "tower_bytes"}) {
    char words[64];
    std::snprintf(words, sizeof(words), "  %.1f MiB of weights",
                  plan.at(key).to_number<double>() / (1 << 20));
    EXPECT_NE(check.find(words), std::string::npos) << words << check;
  }
}

TEST_F(PlanCommand, SaysWhatIsMissing) {
  std::string small = kMachine;
  small.replace(small.find("24"), 2, "0.001");
  write("small.yaml", small);
  const std::string output = plan("--machine small.yaml --ranks 1");
  EXPECT_EQ(status(), 0) << output;
  EXPECT_NE(output.find("fits on none"), std::string::npos) << output;
  EXPECT_NE(output.find("missing of one sequence, GB"), std::string::npos) << output;
  EXPECT_EQ(output.find("decode, ms"), std::string::npos) << output;
}

TEST_F(PlanCommand, TellsAWrongCallFromWhatCannotBePlanned) {
  expect_error("--picture 0x5", "no pixels");
  expect_error("--picture 1000000000x1", "at most 32768 a side");
  expect_error("--picture 1x32768", "times the other");
  expect_error("--picture 9223372036854775807x9223372036854775807", "at most 32768 a side");
  for (const char* bad :
       {"5", "5x", "x5", "5x5x5", "99999999999999999999x1", "5X5", "0x", "'5x 5'", "5.5x5"}) {
    expect_error(std::string("--picture ") + bad, "must be WIDTHxHEIGHT", 2);
  }
  expect_error("--device B200", "B200", 2);
  expect_error("--ranks 3", "does not divide the model's 8 attention heads");
  expect_error("--ranks 1,2,16", "16 does not divide");
  expect_error("--ranks 0", "--ranks", 2);
  expect_error("--format int3", "int3", 2);
  expect_error("--context 4097", "4097");
  expect_error("--context 0", "--context", 2);
  expect_error("--answer 4000", "longer than the model's context");
  expect_error("--answer 99999999999999999999", "--answer", 2);
  expect_error("--prompt -1", "--prompt", 2);
  run("--model absent");
  EXPECT_EQ(status(), 1);
  run("");
  EXPECT_EQ(status(), 2);
}

TEST_F(PlanCommand, NamesWhatIsWrongInAMachineFile) {
  write("bad.yaml", "name: x\nmemory_gb: lots\n");
  expect_error("--machine bad.yaml", "bad.yaml:2: memory_gb must be a number");
  write("empty.yaml", "");
  expect_error("--machine empty.yaml", "empty.yaml: name is missing");
  write("long.yaml", std::string(1 << 17, ' '));
  expect_error("--machine long.yaml", "long.yaml");
  expect_error("--machine none.yaml", "none.yaml");
}

TEST_F(PlanCommand, PlansModelsThatSeeNothing) {
  fs::create_directories(directory() / "text");
  write("text/config.json",
        R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
            "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 128,
            "vocab_size": 100, "max_position_embeddings": 512})");
  const std::string output = run("--model text --device H100");
  EXPECT_EQ(status(), 0) << output;
  EXPECT_EQ(output.find("encode the picture"), std::string::npos) << output;
  EXPECT_NE(output.find("8 does not divide the model's 4 attention heads"), std::string::npos) << output;
  run("--model text --picture 5x5");
  EXPECT_EQ(status(), 1);
}

TEST_F(PlanCommand, ComputesThePapersClaims) {
  const std::string text = run("--claims");
  EXPECT_EQ(status(), 0) << text;
  for (const char* words : {"visual tokens at 672x1008: 448 and 6 separators", "published  94 %", "from  "})
    EXPECT_NE(text.find(words), std::string::npos) << words << "\n" << text;
  const json::value report = json::parse(run("--claims --json"));
  EXPECT_GT(report.at("claims").as_array().size(), 8u);
}

TEST_F(PlanCommand, ComparesStrategiesOfAnySize) {
  const std::string text = run("--strategies 672 1008 --plot plot.svg");
  EXPECT_EQ(status(), 0) << text;
  EXPECT_NE(text.find("not found: encoder and language model"), std::string::npos) << text;
  EXPECT_TRUE(fs::file_size(directory() / "plot.svg") > 1000);
  const json::value report = json::parse(run("--strategies 30 4000 --json"));
  EXPECT_EQ(report.at("strategies").as_array().size(), 12u);
  for (const char* wrong : {"--strategies 0 5", "--strategies 5 100000", "", "--plot x.svg --claims"}) {
    run(wrong);
    EXPECT_NE(status(), 0) << wrong;
  }
}

TEST_F(PlanCommand, TellsExpectedTimesOfWhatWasMeasured) {
  write("own.yaml", std::string(kMachine) + "measured: true\n");
  const std::string text = plan("--machine own.yaml --device H100");
  EXPECT_EQ(status(), 0) << text;
  EXPECT_NE(text.find("expected times"), std::string::npos) << text;
  EXPECT_NE(text.find("Own, measured"), std::string::npos) << text;
  EXPECT_EQ(text.find("H100, measured"), std::string::npos) << text;
  EXPECT_EQ(text.find("nothing was measured"), std::string::npos) << text;
}

// The embedding table stays in its file there, passes of the tower are smaller, and others need memory too.
TEST_F(PlanCommand, TellsTheMemoryOfTheHost) {
  write("device.yaml", kMachine);
  write("host.yaml", std::string(kMachine) + "host: true\n");
  const auto first_rank = [&](const std::string& file) {
    const json::value report = json::parse(plan("--ranks 1 --json --machine " + file));
    return report.at("devices").at(0).at("ranks").at(0);
  };
  const json::value device = first_rank("device.yaml"), host = first_rank("host.yaml");
  EXPECT_LT(host.at("weight_bytes").to_number<int64_t>(), device.at("weight_bytes").to_number<int64_t>());
  EXPECT_LT(host.at("tower_pass_bytes").to_number<int64_t>(),
            device.at("tower_pass_bytes").to_number<int64_t>());
  EXPECT_LT(host.at("kv_bytes").to_number<int64_t>(), device.at("kv_bytes").to_number<int64_t>() / 2);
  EXPECT_NE(plan("--ranks 1 --machine host.yaml").find("KV pages, a third of what is left"),
            std::string::npos);
}

class CalibrateCommand : public Command {
 protected:
  CalibrateCommand() : Command("calibrate") {}
};

TEST_F(CalibrateCommand, WritesAMachineThatThePlanTakes) {
  const std::string output = run("--name 'a machine' --budget 0.01 --threads 1");
  EXPECT_EQ(status(), 0) << output;
  EXPECT_EQ(output, "configs/machines/a-machine.yaml\n");
  const Machine machine = load_machine(directory() / "configs/machines/a-machine.yaml");
  EXPECT_EQ(machine.name, "a machine");
  EXPECT_TRUE(machine.measured);
  EXPECT_TRUE(machine.host);
  for (const double figure : {machine.bf16_tflops, machine.memory_gb_s, machine.link_gb_s})
    EXPECT_GT(figure, 0);
  const std::string text = read_text_file(directory() / "configs/machines/a-machine.yaml");
  for (const char* told : {"512 rows: ", "residuals up to ", "threads of one process", "GB/s one way"})
    EXPECT_NE(text.find(told), std::string::npos) << text;
}

TEST_F(CalibrateCommand, RefusesNamesBeforeItMeasures) {
  for (const char* name : {"'a \"b\"'", "''", "'../.. -'"}) {
    EXPECT_NE(run(std::string("--budget 0.01 --name ") + name).find("--name"), std::string::npos) << name;
    EXPECT_EQ(status(), 1) << name;
  }
}

TEST_F(CalibrateCommand, WritesToStandardOutputWhereItIsTold) {
  const Machine machine = parse_machine(run("--name ../x/y --out - --budget 0.01 --threads 1"), "output");
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(machine.name, "../x/y");
  EXPECT_TRUE(std::filesystem::is_empty(directory()));
}

TEST_F(CalibrateCommand, PrintsItsFiguresForPrograms) {
  const json::value told = json::parse(run("--json --name m --out own.yaml --budget 0.01 --threads 1"));
  EXPECT_EQ(status(), 0);
  const Machine machine = load_machine(directory() / "own.yaml");
  EXPECT_EQ(told.at("name").as_string(), "m");
  EXPECT_NEAR(told.at("memory_gb_s").to_number<double>(), machine.memory_gb_s, machine.memory_gb_s / 1000)
      << "the file rounds";
  EXPECT_EQ(told.at("multiprocessors").to_number<int>(), machine.multiprocessors);
  EXPECT_GT(told.at("picture_decode_s").to_number<double>(), 0);
  EXPECT_NEAR(told.at("link_gb_s").to_number<double>(), machine.link_gb_s, machine.link_gb_s / 1000);
  EXPECT_EQ(told.at("links").at("kind").as_string(), "threads");
  EXPECT_EQ(told.at("links").at("sums").as_array().size(), 2u);
  EXPECT_GT(told.at("links").at("transfer").at("seconds").to_number<double>(), 0);
  const json::array& products = told.at("products").as_array();
  ASSERT_EQ(products.size(), 10u);
  EXPECT_EQ(products.front().at("rows").to_number<int>(), 1);
  EXPECT_GT(products.back().at("measured_s").to_number<double>(), 0);
}

}  // namespace
}  // namespace uhd
