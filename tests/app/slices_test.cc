// Tests the subcommand as it is called: its exit status, its output and the pictures it writes.
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>

#include "model/vision/png_writer.h"
#include "model/vision/resize.h"
#include "tests/app/command_fixture.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

class SlicesCommand : public Command {
 protected:
  SlicesCommand() : Command("slices") {}

  // A gradient, 672 x 1008: two columns and three rows of native cells.
  std::string write_page() {
    Image page{672, 1008, {}};
    for (int i = 0; i < page.width * page.height; ++i) {
      page.pixels.insert(page.pixels.end(), {static_cast<uint8_t>(i % page.width / 4),
                                             static_cast<uint8_t>(i / page.width / 5), 90});
    }
    return write("page.png", encode_png(page));
  }

  Image read(const std::string& name) {
    std::ifstream file(directory() / name, std::ios::binary);
    EXPECT_TRUE(file.good()) << name;
    return decode_image(std::string{std::istreambuf_iterator<char>(file), {}}, {}, false);
  }
};

TEST_F(SlicesCommand, PrintsThePlanForPeople) {
  const std::string output = run(write_page() + " --plan-only");
  EXPECT_EQ(status(), 0);
  EXPECT_NE(output.find("2 columns x 3 rows = 6 slices"), std::string::npos) << output;
  EXPECT_NE(output.find("448 visual, 6 separators"), std::string::npos) << output;
  EXPECT_FALSE(fs::exists(directory() / "page-slices"));
}

TEST_F(SlicesCommand, PrintsThePlanForPrograms) {
  const json::value plan = json::parse(run(write_page() + " --json --plan-only --max-slices 1 --tokens 144"));
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(plan.at("image"), json::value({672, 1008}));
  EXPECT_TRUE(plan.at("slices").as_array().empty());
  EXPECT_TRUE(plan.at("cell").is_null());
  EXPECT_EQ(plan.at("visual_tokens").to_number<int>(), 144);
}

TEST_F(SlicesCommand, WritesEverySliceAndTheGrid) {
  const json::value plan = json::parse(run(write_page() + " --json --out pictures"));
  EXPECT_EQ(status(), 0);
  const json::array& slices = plan.at("slices").as_array();
  ASSERT_EQ(slices.size(), 6u);
  const Image page = read("page.png");
  for (size_t i = 0; i < slices.size(); ++i) {
    const Image slice = read(std::string(slices[i].at("file").as_string()));
    const int x = static_cast<int>(i % 2) * 336, y = static_cast<int>(i / 2) * 336;
    EXPECT_EQ(slice.pixels, resize_bicubic_window(page, Size{672, 1008}, {x, y, 336, 336})) << i;
  }
  const Image overview = read(std::string(plan.at("overview").at("file").as_string()));
  EXPECT_EQ(overview.pixels, resize_bicubic(page, 266, 406).pixels);
  const Image grid = read(std::string(plan.at("grid_picture").as_string()));
  EXPECT_EQ(grid.width, 672);
  EXPECT_EQ(grid.height, 1008);
  const auto pixel = [&](const Image& image, int x, int y) { return image.pixels[3 * (y * 672 + x)]; };
  EXPECT_EQ(pixel(grid, 336, 100), 0);                      // on a line
  EXPECT_EQ(pixel(grid, 100, 672), 0);                      // on a line
  EXPECT_EQ(pixel(grid, 200, 200), pixel(page, 200, 200));  // within a cell
}

TEST_F(SlicesCommand, SlicesAsTheModelDirectorySays) {
  const fs::path model = goldens_directory() / "models" / "minicpmv26-tiny";
  const json::value plan =
      json::parse(run(write_page() + " --json --plan-only --model '" + fs::absolute(model).string() + "'"));
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(plan.at("columns").to_number<int>(), 2);
  EXPECT_EQ(plan.at("rows").to_number<int>(), 2);
}

TEST_F(SlicesCommand, NamesAFileThatIsNoImage) {
  const std::string output = run(write("notes.txt", "hello"));
  EXPECT_EQ(status(), 1);
  EXPECT_EQ(output, "uhd: notes.txt: the image is not JPEG, PNG or WebP\n");
}

TEST_F(SlicesCommand, RefusesWrongArguments) {
  run("absent.png");
  EXPECT_NE(status(), 0);
  run(write_page() + " --max-slices 0");
  EXPECT_NE(status(), 0);
  run(write_page() + " --maximum 3");
  EXPECT_NE(status(), 0);
}

}  // namespace
}  // namespace uhd
